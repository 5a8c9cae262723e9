// softstep.DiagonalAttention: softstep/diagonal_attention.h.

#include "softstep/diagonal_attention.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "named_choice.h"
#include "parts.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class DiagonalAttention : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

void construct(DiagonalAttention* place, nb::handle tokens, nb::handle labels, nb::handle decoder,
               nb::handle targets, nb::handle query_index, nb::handle queries, const std::string& form,
               const std::string& loss, const std::string& optimal_loss, double optimal_loss_value,
               int n_threads, const std::string& isa) {
  const BatchArrays arrays{.tokens = Array(tokens, "tokens"),
                           .labels = optional_array(labels, "labels"),
                           .targets = optional_array(targets, "targets"),
                           .decoder = optional_array(decoder, "decoder"),
                           .query_index = optional_array(query_index, "queries"),
                           .queries = optional_array(queries, "queries")};
  const DiagonalAttentionOptions options{
      .form = choice_of("form", form, {DiagonalForm::factored, DiagonalForm::combined}),
      .loss = parse_loss(loss),
      .optimal_loss = parse_optimal_loss(optimal_loss),
      .optimal_loss_value = optimal_loss_value,
      .n_threads = n_threads,
      .isa = isa};
  construct_copied(place, arrays, nullptr,
                   [&](const auto& view) { return make_diagonal_attention_model(view, options); });
}

}  // namespace

void add_diagonal_attention(nb::module_& m) {
  nb::class_<DiagonalAttention, AnyModel>(m, "DiagonalAttention", nb::type_slots(model_slots),
                                          "Attention with diagonal K and Q. Use softstep.DiagonalAttention.")
      .def(
          "__init__", &construct, "tokens"_a, "labels"_a.none() = nb::none(), "decoder"_a.none() = nb::none(),
          nb::kw_only(), "targets"_a.none() = nb::none(), "query_index"_a.none() = nb::none(),
          "queries"_a.none() = nb::none(), "form"_a = "factored", "loss"_a = "logistic",
          "optimal_loss"_a = "optimal", "optimal_loss_value"_a = 0.0, "n_threads"_a = 1, "isa"_a = "",
          nb::sig("def __init__(self, tokens: ArrayLike, labels: ArrayLike | None = None, decoder: ArrayLike "
                  "| None = None, *, targets: ArrayLike | None = None, query_index: ArrayLike | None = None, "
                  "queries: ArrayLike | None = None, form: str = 'factored', loss: str = 'logistic', "
                  "optimal_loss: str = 'optimal', optimal_loss_value: float = 0.0, n_threads: int = 1, isa: "
                  "str = '') -> None"));
}

}  // namespace softstep::python
