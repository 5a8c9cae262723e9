"""Slips in the numbers of the layer: pivot form, exponents, factors of rows."""
ROOM_TESTS = ("[layer]~[long]", "[models]~[long]", "[trainer]~[long]")

FAULTS = [
    ("slope_exponent_left_out", "core/layer/row_factors.cpp", "size = outcomes.exponent[row] + slope.exponent + std::log(", "size = outcomes.exponent[row] + std::log(",
     "A row's size misses the exponent of the loss's slope.", ()),
    ("row_scale_upwards", "core/layer/row_factors.cpp", "row_scale_[row] = std::ldexp(1.0, -power);", "row_scale_[row] = std::ldexp(1.0, power);",
     "A row is multiplied by its unit and not divided by it.", ()),
    ("row_factor_sign", "core/layer/row_factors.cpp", "row_factor_[row] = -std::copysign(", "row_factor_[row] = std::copysign(",
     "Gradients of losses without a kernel point uphill.", ()),
    ("pooled_weight_of_the_first", "core/layer/row_factors.cpp", "weight(in_batch + q)", "weight(in_batch + 0 * q)",
     "All queries of a sample have the weight of its first.", ("[models]~[long]",)),
    ("token_power_backwards", "core/layer/row_factors.cpp", "std::ldexp(row_scale_[i], token_powers[k])", "std::ldexp(row_scale_[i], -token_powers[k])",
     "Weights of tokens are brought back from their units the wrong way.", ("*form*",)),
    ("gap_power_left_out", "core/layer/row_factors.cpp", "scoring.gap_power(i) + power - common_power_ + factor * 0.0", "power - common_power_ + factor * 0.0",
     "A sample's gaps have no units in the size of its row.", ()),
    ("lane_subnormal_size", "core/layer/passes/lane_pass.cpp", "size > 0.0 && size < smallest ? smallest : size", "size > smallest && size < smallest ? smallest : size",
     "A row whose largest entry is subnormal keeps that for its unit.", ()),
    ("lane_pivot_of_neighbour", "core/layer/passes/lane_pass.cpp", "out.pivot_gap[i] = this->scoring_.gap(i, static_cast<std::size_t>(pivot_[i]));",
     "out.pivot_gap[i] = this->scoring_.gap(i, static_cast<std::size_t>(pivot_[i == 0 ? 0 : i - 1]));",
     "A sample's pivot gap is that of the pivot of the sample before it.", ()),
    ("mean_without_weight", "core/layer/passes/sample_pass.cpp", "static_cast<T>(weight) * stats_[row].pivot_attention", "static_cast<T>(weight > 0.0) * stats_[row].pivot_attention",
     "Means of tokens forget the weights of the queries.", ("[models]~[long]",)),
    ("slopes_without_exponent", "core/layer/slope_sum.h", "std::exp(of_sample.exponent - top)", "std::exp(0.0 * (of_sample.exponent - top))",
     "Slopes of samples are added without their exponents.", ("[models]~[long]",)),
]
