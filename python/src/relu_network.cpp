// softstep.ReluNetwork and softstep.ReluPopulation: softstep/relu_network.h.

#include "softstep/relu_network.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "parts.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class ReluNetwork : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

class ReluPopulation : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

std::vector<double> outer_layer(nb::handle outer) {
  return outer.is_none() ? std::vector<double>{} : doubles_of(outer, "outer");
}

void construct_network(ReluNetwork* place, nb::handle points, nb::handle labels, nb::handle targets,
                       std::size_t n_neurons, nb::handle outer, nb::handle loss,
                       const std::string& optimal_loss, double optimal_loss_value, const std::string& isa) {
  const BatchArrays arrays{.tokens = Array(points, "points"),
                           .labels = optional_array(labels, "labels"),
                           .targets = optional_array(targets, "targets")};
  const bool correlates =
      PyUnicode_Check(loss.ptr()) && nb::cast<std::string>(loss) == make_correlation_loss()->name();
  const ChosenLoss chosen = correlates ? ChosenLoss{} : choose_loss(loss);
  ReluOptions options{.n_neurons = n_neurons,
                      .outer = outer_layer(outer),
                      .loss = chosen.named,
                      .own_loss = chosen.own,
                      .optimal_loss = parse_optimal_loss(optimal_loss),
                      .optimal_loss_value = optimal_loss_value,
                      .isa = isa};
  if (correlates) options.own_loss = make_correlation_loss();
  construct_copied(place, arrays, chosen.own,
                   [&](const auto& view) { return make_relu_model(view, options); });
}

void construct_population(ReluPopulation* place, nb::handle means, nb::handle probabilities,
                          nb::handle labels, double sigma, std::size_t n_neurons, nb::handle outer,
                          const std::string& dtype, const std::string& isa) {
  const Array shape(means, "means");
  shape.require_dims(2, "(n_clusters, dim)");
  const GaussianClusters clusters{.dim = shape.extent(1),
                                  .means = doubles_of(means, "means"),
                                  .probabilities = doubles_of(probabilities, "probabilities"),
                                  .labels = labels_of(labels, "labels"),
                                  .sigma = sigma};
  const std::vector<double> fixed = outer_layer(outer);
  construct_copied(place, dtype, [&]<NumberType T>() {
    return make_relu_population_model<T>(clusters, n_neurons, fixed, isa);
  });
}

}  // namespace

void add_relu_network(nb::module_& m) {
  nb::class_<ReluNetwork, AnyModel>(m, "ReluNetwork", nb::type_slots(model_slots),
                                    "One hidden layer on points. Use softstep.ReluNetwork.")
      .def("__init__", &construct_network, "points"_a, "labels"_a.none() = nb::none(), nb::kw_only(),
           "targets"_a.none() = nb::none(), "n_neurons"_a, "outer"_a.none() = nb::none(),
           "loss"_a = "logistic", "optimal_loss"_a = "zero", "optimal_loss_value"_a = 0.0, "isa"_a = "",
           nb::sig("def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: "
                   "ArrayLike | None = None, n_neurons: int, outer: ArrayLike | None = None, loss: "
                   "typing.Any = 'logistic', optimal_loss: str = 'zero', optimal_loss_value: float = 0.0, "
                   "isa: str = '') -> None"));
  nb::class_<ReluPopulation, AnyModel>(
      m, "ReluPopulation", nb::type_slots(model_slots),
      "One hidden layer on Gaussian clusters, in expectation. Use softstep.ReluPopulation.")
      .def("__init__", &construct_population, "means"_a, "probabilities"_a, "labels"_a, nb::kw_only(),
           "sigma"_a, "n_neurons"_a, "outer"_a.none() = nb::none(), "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, means: ArrayLike, probabilities: ArrayLike, labels: ArrayLike, *, "
                   "sigma: float, n_neurons: int, outer: ArrayLike | None = None, dtype: str = 'float64', "
                   "isa: str = '') -> None"));
}

}  // namespace softstep::python
