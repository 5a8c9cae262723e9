// softstep.InductionHead: softstep/induction.h.

#include "softstep/induction.h"

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

class InductionHead : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

InductionScores scores_of(const std::string& name) {
  return choice_of("scores", name, {InductionScores::product, InductionScores::single});
}

InductionData data_of(nb::handle sequences, nb::handle targets) {
  const Array shape(sequences, "sequences");
  shape.require_dims(2, "(n, length)");
  return {.length = shape.extent(1),
          .sequences = doubles_of(sequences, "sequences"),
          .targets = doubles_of(targets, "targets")};
}

void construct(InductionHead* place, nb::handle sequences, nb::handle targets, const std::string& scores,
               const std::string& dtype, const std::string& isa) {
  const InductionData data = data_of(sequences, targets);
  const InductionOptions options{.scores = scores_of(scores), .isa = isa};
  construct_copied(place, dtype, [&]<NumberType T>() { return make_induction_model<T>(data, options); });
}

nb::tuple generated(std::size_t n_samples, std::size_t length, double a, double w_star, std::uint64_t seed) {
  const InductionData data = induction_data(n_samples, length, a, w_star, seed);
  return nb::make_tuple(copy_of(std::span<const double>(data.sequences), {data.n_samples(), data.length}),
                        copy_of(std::span<const double>(data.targets)));
}

nb::tuple parts(nb::handle sequences, nb::handle targets, double a, double w_star, nb::handle blocks,
                const std::string& scores) {
  const InductionParts found = induction_parts(data_of(sequences, targets), a, w_star,
                                               doubles_of(blocks, "blocks"), scores_of(scores));
  return nb::make_tuple(found.four_gram, found.induction);
}

}  // namespace

void add_induction(nb::module_& m) {
  nb::class_<InductionHead, AnyModel>(m, "InductionHead", nb::type_slots(model_slots),
                                      "A 4-gram and an induction head. Use softstep.InductionHead.")
      .def("__init__", &construct, "sequences"_a, "targets"_a, nb::kw_only(), "scores"_a = "product",
           "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, sequences: ArrayLike, targets: ArrayLike, *, scores: str = 'product', "
                   "dtype: str = 'float64', isa: str = '') -> None"));
  m.def("induction_data", &generated, "n_samples"_a, "length"_a, "a"_a, "w_star"_a, "seed"_a,
        nb::sig("def induction_data(n_samples: int, length: int, a: float, w_star: float, seed: int) -> "
                "tuple[typing.Any, typing.Any]"),
        "Sequences [n_samples, length] and targets [n_samples].");
  m.def("induction_parts", &parts, "sequences"_a, "targets"_a, "a"_a, "w_star"_a, "blocks"_a,
        "scores"_a = "product",
        nb::sig("def induction_parts(sequences: ArrayLike, targets: ArrayLike, a: float, w_star: float, "
                "blocks: ArrayLike, scores: str = 'product') -> tuple[float, float]"),
        "What InductionHead.parts calls.");
}

}  // namespace softstep::python
