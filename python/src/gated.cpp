// softstep.GatedRegression: softstep/gated.h.

#include "softstep/gated.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "named_choice.h"
#include "parts.h"
#include "results.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class GatedRegression : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

MultitaskRegression data_of(nb::handle spectrum, nb::handle n_examples, nb::handle correlations,
                            double noise) {
  return {.spectrum = doubles_of(spectrum, "spectrum"),
          .n_examples = counts_of(n_examples, "n_examples"),
          .correlations = doubles_of(correlations, "correlations"),
          .noise = noise};
}

void construct(GatedRegression* place, nb::handle spectrum, nb::handle n_examples, nb::handle correlations,
               double noise, const std::string& weights, nb::handle gates, const std::string& dtype,
               const std::string& isa) {
  const MultitaskRegression data = data_of(spectrum, n_examples, correlations, noise);
  const GatedOptions options{
      .weights = choice_of("weights", weights,
                           {ExampleWeights::free, ExampleWeights::gated, ExampleWeights::constant}),
      .gates = gates.is_none() ? std::vector<double>{} : doubles_of(gates, "gates"),
      .isa = isa};
  construct_copied(place, dtype, [&]<NumberType T>() { return make_gated_model<T>(data, options); });
}

nb::object best_weights(nb::handle spectrum, nb::handle n_examples, nb::handle correlations, double noise) {
  const std::vector<double> found = multitask_weights(data_of(spectrum, n_examples, correlations, noise));
  return copy_of(std::span<const double>(found));
}

double loss_of(nb::handle spectrum, nb::handle n_examples, nb::handle correlations, double noise,
               nb::handle weights) {
  return multitask_loss(data_of(spectrum, n_examples, correlations, noise), doubles_of(weights, "weights"));
}

}  // namespace

void add_gated(nb::module_& m) {
  nb::class_<GatedRegression, AnyModel>(
      m, "GatedRegression", nb::type_slots(model_slots),
      "Gated linear attention on regression from several tasks. Use softstep.GatedRegression.")
      .def("__init__", &construct, "spectrum"_a, "n_examples"_a, "correlations"_a, "noise"_a, nb::kw_only(),
           "weights"_a = "gated", "gates"_a.none() = nb::none(), "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, "
                   "noise: float, *, weights: str = 'gated', gates: ArrayLike | None = None, dtype: str = "
                   "'float64', isa: str = '') -> None"));
  m.def("multitask_weights", &best_weights, "spectrum"_a, "n_examples"_a, "correlations"_a, "noise"_a,
        nb::sig("def multitask_weights(spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, "
                "noise: float) -> typing.Any"),
        "The best weight of an example of each task, [n_tasks].");
  m.def("multitask_loss", &loss_of, "spectrum"_a, "n_examples"_a, "correlations"_a, "noise"_a, "weights"_a,
        nb::sig("def multitask_loss(spectrum: ArrayLike, n_examples: ArrayLike, correlations: ArrayLike, "
                "noise: float, weights: ArrayLike) -> float"),
        "The least loss for given weights of the tasks, [n_tasks].");
}

}  // namespace softstep::python
