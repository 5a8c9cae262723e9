#include "other_models.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <vector>

#include "parts.h"
#include "results.h"
#include "softstep/error.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

void construct_linear(LinearModel* place, nb::handle points, nb::handle labels, nb::handle targets,
                      nb::handle loss, const std::string& optimal_loss, double optimal_loss_value,
                      const std::string& isa) {
  BatchArrays arrays{.tokens = Array(points, "points", Access::read, Life::object),
                     .labels = optional_array(labels, "labels"),
                     .targets = optional_array(targets, "targets")};
  const ChosenLoss chosen = choose_loss(loss);
  const LinearOptions options{.loss = chosen.named,
                              .own_loss = chosen.own,
                              .optimal_loss = parse_optimal_loss(optimal_loss),
                              .optimal_loss_value = optimal_loss_value,
                              .isa = isa};
  if (arrays.tokens.number() == Number::f64) {
    new (place) LinearModel(std::make_unique<LinearModelOf<double>>(std::move(arrays), options, chosen.own));
    return;
  }
  arrays.tokens.require(Number::f32, " or float64");
  new (place) LinearModel(std::make_unique<LinearModelOf<float>>(std::move(arrays), options, chosen.own));
}

NextTokenData data_of(std::size_t vocabulary, nb::handle contexts, nb::handle probabilities, nb::handle first,
                      nb::handle tokens, nb::handle labels) {
  const Array shape(contexts, "contexts");
  shape.require_dims(2, "(n_contexts, dim)");
  return {.vocabulary = vocabulary,
          .dim = shape.extent(1),
          .contexts = doubles_of(contexts, "contexts"),
          .probabilities = doubles_of(probabilities, "probabilities"),
          .first = counts_of(first, "first"),
          .tokens = counts_of(tokens, "tokens"),
          .labels = doubles_of(labels, "labels")};
}

void construct_next_token(NextTokenModel* place, std::size_t vocabulary, nb::handle contexts,
                          nb::handle probabilities, nb::handle first, nb::handle tokens, nb::handle labels,
                          const std::string& dtype, const std::string& isa) {
  const NextTokenData data = data_of(vocabulary, contexts, probabilities, first, tokens, labels);
  construct_copied(place, dtype, [&]<NumberType T>() { return make_next_token_model<T>(data, isa); });
}

nb::dict example(std::size_t n_contexts, std::size_t vocabulary, std::size_t dim, std::size_t support_size,
                 std::uint64_t seed) {
  const NextTokenData data = next_token_example(n_contexts, vocabulary, dim, support_size, seed);
  nb::dict out;
  out["vocabulary"] = data.vocabulary;
  out["contexts"] = copy_of(std::span<const double>(data.contexts), {data.n_contexts(), data.dim});
  out["probabilities"] = copy_of(std::span<const double>(data.probabilities));
  out["first"] = copy_of(std::span<const std::size_t>(data.first));
  out["tokens"] = copy_of(std::span<const std::size_t>(data.tokens));
  out["labels"] = copy_of(std::span<const double>(data.labels));
  return out;
}

nb::tuple blocks_at(std::size_t vocabulary, nb::handle contexts, nb::handle probabilities, nb::handle first,
                    nb::handle tokens, nb::handle labels, nb::handle weights) {
  const NextTokenData data = data_of(vocabulary, contexts, probabilities, first, tokens, labels);
  const std::vector<double> at = weights.is_none() ? std::vector<double>{} : doubles_of(weights, "weights");
  const std::vector<std::vector<double>> found = next_token_blocks(data, at);
  nb::list out;
  for (const std::vector<double>& block : found) out.append(copy_of(std::span<const double>(block)));
  return nb::tuple(out);
}

double entropy(std::size_t vocabulary, nb::handle contexts, nb::handle probabilities, nb::handle first,
               nb::handle tokens, nb::handle labels) {
  const NextTokenData data = data_of(vocabulary, contexts, probabilities, first, tokens, labels);
  data.validate();
  return data.entropy();
}

}  // namespace

void add_other_models(nb::module_& m) {
  nb::class_<LinearModel, AnyModel>(m, "LinearModel", nb::type_slots(model_slots),
                                    "f = w^T x of points. Use softstep.LinearModel.")
      .def("__init__", &construct_linear, "points"_a, "labels"_a.none() = nb::none(), nb::kw_only(),
           "targets"_a.none() = nb::none(), "loss"_a = "logistic", "optimal_loss"_a = "zero",
           "optimal_loss_value"_a = 0.0, "isa"_a = "",
           nb::sig("def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: "
                   "ArrayLike | None = None, loss: typing.Any = 'logistic', optimal_loss: str = 'zero', "
                   "optimal_loss_value: float = 0.0, isa: str = '') -> None"));
  nb::class_<NextTokenModel, AnyModel>(m, "NextTokenModel", nb::type_slots(model_slots),
                                       "Next-token prediction. Use softstep.NextTokenModel.")
      .def(
          "__init__", &construct_next_token, "vocabulary"_a, "contexts"_a, "probabilities"_a, "first"_a,
          "tokens"_a, "labels"_a, nb::kw_only(), "dtype"_a = "float64", "isa"_a = "",
          nb::sig("def __init__(self, vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: "
                  "ArrayLike, tokens: ArrayLike, labels: ArrayLike, *, dtype: str = 'float64', isa: str = "
                  "'') -> None"));
  m.def("next_token_example", &example, "n_contexts"_a, "vocabulary"_a, "dim"_a, "support_size"_a, "seed"_a,
        nb::sig("def next_token_example(n_contexts: int, vocabulary: int, dim: int, support_size: int, seed: "
                "int) -> dict[str, typing.Any]"),
        "Random contexts with random supports, as a dict of arrays.");
  m.def(
      "next_token_blocks", &blocks_at, "vocabulary"_a, "contexts"_a, "probabilities"_a, "first"_a, "tokens"_a,
      "labels"_a, "weights"_a.none() = nb::none(),
      nb::sig("def next_token_blocks(vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: "
              "ArrayLike, tokens: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> "
              "tuple[typing.Any, ...]"),
      "The blocks of a NextTokenModel at W [vocabulary, dim], each of one dimension; at W = 0 if None.");
  m.def(
      "next_token_entropy", &entropy, "vocabulary"_a, "contexts"_a, "probabilities"_a, "first"_a, "tokens"_a,
      "labels"_a,
      nb::sig("def next_token_entropy(vocabulary: int, contexts: ArrayLike, probabilities: ArrayLike, first: "
              "ArrayLike, tokens: ArrayLike, labels: ArrayLike) -> float"),
      "H, the infimum of the cross entropy.");
}

}  // namespace softstep::python
