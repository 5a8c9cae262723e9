"""Slips in how W is kept: dense, in the span of the queries, in the span of the tokens."""
ROOM_TESTS = ("[trainer]~[long]", "[models]~[long]")
FORMS = "core/trainer/forms/"

FAULTS = [
    ("token_gram_of_one_query", FORMS + "token_span_trajectory.h", "queries[sample[k] * n + sample[l]]", "queries[sample[k] * n + sample[k]]",
     "The Gram matrix of the tokens takes <z_i, z_i> for <z_i, z_j>.", ("*form*",)),
    ("token_base_powers_backwards", FORMS + "token_span_trajectory.h", "std::scalbn(scores[k], powers_[k])", "std::scalbn(scores[k], -powers_[k])",
     "The scores of the base are brought to the data's units the wrong way.", ("*form*",)),
    ("token_units_of_tokens_alone", FORMS + "token_span_trajectory.h", "is_uniform_ = are_alike(powers_);", "is_uniform_ = are_alike(token_powers_);",
     "Scores whose queries differ in their powers are all moved by the power of the first.", ("*form*",)),
    ("token_sizes_without_last", FORMS + "token_span_trajectory.h", "(n_ % 2 == 0 ? 0.0 : size(n_ - 1))", "(n_ % 2 == 0 ? 0.0 : 0.0 * size(n_ - 1))",
     "Of an odd number of tokens the last is left out of the bound of the gradient's size.", ("*form*",),
     "Where terms cancel, what cancels the last token's is as large and is in the sum; where they do not, the norm has its digits and bounds the step."),
    ("span_digits_turned_round", FORMS + "span_trajectory.h", "return squared > smallest * whole * whole;", "return squared < smallest * whole * whole;",
     "The norm comes from inner products exactly where they have lost their digits.", ("*form*",)),
    ("span_never_refreshed", FORMS + "span_trajectory.h", "return 63 - iteration % 64;", "return 64 - iteration % 64;",
     "y is never computed afresh.", ("*form*",)),
    ("span_projected_moves_back", FORMS + "span_trajectory.h", "add_in_units(team, -step.coefficient, image_.data()", "add_in_units(team, step.coefficient, image_.data()",
     "y goes against the step that the coefficients take.", ("*form*",)),
    ("span_resumes_without_remainder", FORMS + "span_trajectory.h", "remainder_ = remainder_of(coefficients_, state.span.remainder);",
     "remainder_.assign(size, T(0));", "A run that goes on has lost what its coefficients were rounded off.", ("*resum*",)),
    ("span_resumes_without_recent", FORMS + "span_trajectory.h", "if (state.span.recent.size() == size) recent_", "if (state.span.recent.size() != size) recent_",
     "A run that goes on has lost its steps since the last refresh.", ("*resum*",)),
    ("span_state_without_recent", FORMS + "span_trajectory.h", "sum[k] += span.recent[k] + span.remainder[k];", "sum[k] += span.remainder[k];",
     "The weights of a state lack the steps since the last refresh.", ("*form*",)),
    ("query_units_of_the_first", FORMS + "pass.h", "const T factor = in_units<T>(a, units.power(i));", "const T factor = in_units<T>(a, units.power(0 * i));",
     "Every row of V is moved in the units of the first query.", ("*form*",)),
    ("dense_resumes_without_recent", FORMS + "dense_trajectory.h", "if (goes_on) recent_ = state.span.recent;", "if (!goes_on) recent_ = state.span.recent;",
     "A dense run that goes on has lost its rows since the last refresh.", ("*resum*",)),
    ("dense_refresh_without_remainder", FORMS + "dense_trajectory.h", "std::copy_n(base_.data() + at, n_rows * row_stride_, weights_.data() + at);",
     "std::fill_n(remainder_.data() + at, n_rows * row_stride_, T(0)), std::copy_n(base_.data() + at, n_rows * row_stride_, weights_.data() + at);",
     "What a refresh rounds off is dropped.", ("*gradient*",)),
]
