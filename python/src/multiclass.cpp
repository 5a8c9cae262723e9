// softstep.MulticlassModel: softstep/multiclass.h.

#include "softstep/multiclass.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "multiclass.h"
#include "parts.h"
#include "results.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {

MulticlassData multiclass_data(nb::handle features, nb::handle classes, std::size_t n_classes) {
  const Array shape(features, "features");
  shape.require_dims(2, "(n, dim)");
  return {.n_classes = n_classes,
          .dim = shape.extent(1),
          .features = doubles_of(features, "features"),
          .classes = counts_of(classes, "classes")};
}

namespace {

class MulticlassModel : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

void construct(MulticlassModel* place, nb::handle features, nb::handle classes, std::size_t n_classes,
               const std::string& dtype, const std::string& isa) {
  const MulticlassData data = multiclass_data(features, classes, n_classes);
  construct_copied(place, dtype, [&]<NumberType T>() { return make_multiclass_model<T>(data, isa); });
}

nb::tuple arrays_of(const MulticlassData& data) {
  return nb::make_tuple(copy_of(std::span<const double>(data.features), {data.n_samples(), data.dim}),
                        copy_of(std::span<const std::size_t>(data.classes)), data.n_classes);
}

nb::tuple clouds(std::size_t n_classes, std::size_t dim, std::size_t points_per_class, double noise,
                 std::uint64_t seed) {
  return arrays_of(class_clouds(n_classes, dim, points_per_class, noise, seed));
}

nb::tuple load(const std::string& path) { return arrays_of(load_multiclass_data(path)); }

double margin(nb::handle features, nb::handle classes, std::size_t n_classes, nb::handle weights,
              const std::string& norm, double p) {
  return multiclass_margin(multiclass_data(features, classes, n_classes), doubles_of(weights, "W"),
                           parse_matrix_norm(norm), p);
}

}  // namespace

void add_multiclass(nb::module_& m) {
  nb::class_<MulticlassModel, AnyModel>(
      m, "MulticlassModel", nb::type_slots(model_slots),
      "Linear classification with softmax cross entropy. Use softstep.MulticlassModel.")
      .def("__init__", &construct, "features"_a, "classes"_a, "n_classes"_a, nb::kw_only(),
           "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, features: ArrayLike, classes: ArrayLike, n_classes: int, *, dtype: "
                   "str = 'float64', isa: str = '') -> None"));
  m.def("class_clouds", &clouds, "n_classes"_a, "dim"_a, "points_per_class"_a, "noise"_a, "seed"_a,
        nb::sig("def class_clouds(n_classes: int, dim: int, points_per_class: int, noise: float, seed: int) "
                "-> tuple[typing.Any, typing.Any, int]"),
        "Clouds about random centres: features, classes, number of classes.");
  m.def("load_multiclass_data", &load, "path"_a,
        nb::sig("def load_multiclass_data(path: str) -> tuple[typing.Any, typing.Any, int]"),
        "Tensors features and classes of a safetensors file, and the number of classes.");
  m.def(
      "multiclass_margin", &margin, "features"_a, "classes"_a, "n_classes"_a, "W"_a, "norm"_a = "frobenius",
      "p"_a = 2.0,
      nb::sig("def multiclass_margin(features: ArrayLike, classes: ArrayLike, n_classes: int, W: ArrayLike, "
              "norm: str = 'frobenius', p: float = 2.0) -> float"),
      "The smallest margin of W [n_classes, dim] over its norm.");
}

}  // namespace softstep::python
