#include "softstep/in_context.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "core/data/quoted.h"

namespace softstep::c {
namespace {

HeadForm head_form_of(const std::string& name) {
  if (name.empty()) return HeadForm::separate;
  for (const HeadForm form : {HeadForm::merged, HeadForm::separate})
    if (name == to_string(form)) return form;
  throw InvalidArgument("options.form", data::quoted(name) + " (need merged or separate)");
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_in_context_model_create(const softstep_in_context_options* options,
                                                 softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const softstep_in_context_options in = read(required(options, "options"), "options");
    const InContextRegression data{
        .spectrum = copied(in.spectrum, product(in.dim, 1, "options.dim"), "options.spectrum"),
        .n_examples = in.n_examples};
    const InContextOptions of{.form = head_form_of(word(in.form)),
                              .n_heads = std::max<std::size_t>(in.n_heads, 1),
                              .rank = std::max<std::size_t>(in.rank, 1),
                              .isa = word(in.isa)};
    *model = hand_out_model(in.type, "options.type",
                            [&]<class T>() { return make_in_context_model<T>(data, of); });
  });
}

softstep_status softstep_in_context_optimum(const double* spectrum, size_t dim, size_t n_examples,
                                            double* optimum) {
  return guarded([&] {
    required(optimum, "optimum");
    product(dim, dim, "dim");
    const std::vector<double> found =
        in_context_optimum({.spectrum = copied(spectrum, dim, "spectrum"), .n_examples = n_examples});
    std::copy(found.begin(), found.end(), optimum);
  });
}
}
