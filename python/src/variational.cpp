// softstep.VariationalLinearModel: softstep/variational.h.

#include "softstep/variational.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "parts.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class VariationalLinearModel : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

void construct(VariationalLinearModel* place, nb::handle points, nb::handle labels, nb::handle targets,
               std::size_t rank, const std::string& loss, const std::string& isa) {
  const BatchArrays arrays{.tokens = Array(points, "points"),
                           .labels = optional_array(labels, "labels"),
                           .targets = optional_array(targets, "targets")};
  const VariationalOptions options{.rank = rank, .loss = parse_loss(loss), .isa = isa};
  construct_copied(place, arrays, nullptr,
                   [&](const auto& view) { return make_variational_model(view, options); });
}

}  // namespace

void add_variational(nb::module_& m) {
  nb::class_<VariationalLinearModel, AnyModel>(
      m, "VariationalLinearModel", nb::type_slots(model_slots),
      "A linear model with drawn weights. Use softstep.VariationalLinearModel.")
      .def("__init__", &construct, "points"_a, "labels"_a.none() = nb::none(), nb::kw_only(),
           "targets"_a.none() = nb::none(), "rank"_a = 0, "loss"_a = "squared", "isa"_a = "",
           nb::sig("def __init__(self, points: ArrayLike, labels: ArrayLike | None = None, *, targets: "
                   "ArrayLike | None = None, rank: int = 0, loss: str = 'squared', isa: str = '') -> None"));
}

}  // namespace softstep::python
