// softstep.InContextRegression: softstep/in_context.h.

#include "softstep/in_context.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "parts.h"
#include "results.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class InContextModel : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

HeadForm parse_form_of_heads(const std::string& name) {
  for (const HeadForm form : {HeadForm::merged, HeadForm::separate})
    if (name == to_string(form)) return form;
  throw InvalidArgument("form", name + " (known: merged, separate)");
}

void construct(InContextModel* place, nb::handle spectrum, std::size_t n_examples, const std::string& form,
               std::size_t n_heads, std::size_t rank, const std::string& dtype, const std::string& isa) {
  const InContextRegression data{.spectrum = doubles_of(spectrum, "spectrum"), .n_examples = n_examples};
  const InContextOptions options{
      .form = parse_form_of_heads(form), .n_heads = n_heads, .rank = rank, .isa = isa};
  construct_copied(place, dtype, [&]<NumberType T>() { return make_in_context_model<T>(data, options); });
}

nb::object optimum(nb::handle spectrum, std::size_t n_examples) {
  const std::vector<double> eigenvalues = doubles_of(spectrum, "spectrum");
  const std::vector<double> found = in_context_optimum({.spectrum = eigenvalues, .n_examples = n_examples});
  return copy_of(std::span<const double>(found), {eigenvalues.size(), eigenvalues.size()});
}

}  // namespace

void add_in_context(nb::module_& m) {
  nb::class_<InContextModel, AnyModel>(
      m, "InContextRegression", nb::type_slots(model_slots),
      "Linear attention on in-context regression, in expectation. Use softstep.InContextRegression.")
      .def("__init__", &construct, "spectrum"_a, "n_examples"_a, nb::kw_only(), "form"_a = "separate",
           "n_heads"_a = 1, "rank"_a = 1, "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, spectrum: ArrayLike, n_examples: int, *, form: str = 'separate', "
                   "n_heads: int = 1, rank: int = 1, dtype: str = 'float64', isa: str = '') -> None"));
  m.def("in_context_optimum", &optimum, "spectrum"_a, "n_examples"_a,
        nb::sig("def in_context_optimum(spectrum: ArrayLike, n_examples: int) -> typing.Any"),
        "M*, the matrix with the smallest loss, [dim, dim].");
}

}  // namespace softstep::python
