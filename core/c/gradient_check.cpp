#include "softstep/gradient_check.h"

#include "core/c/handles.h"

using namespace softstep;
using namespace softstep::c;

namespace {

GradientCheckOptions options_of(const softstep_gradient_check_options* given) {
  const softstep_gradient_check_options in = read(given, "options");
  GradientCheckOptions out;
  out.tolerance = in.tolerance;
  out.max_entries = in.max_entries;
  if (in.samples != nullptr) out.samples = {std::span<const std::size_t>(in.samples, in.n_samples)};
  return out;
}

softstep_gradient_check_result result_of(const BlockGradientCheck& found) {
  softstep_gradient_check_result out{};
  out.passed = found.passed ? 1 : 0;
  out.n_entries = found.n_entries;
  out.gradient_norm = {found.gradient_norm.mantissa, found.gradient_norm.exponent};
  out.difference_norm = {found.difference_norm.mantissa, found.difference_norm.exponent};
  out.relative_error = found.relative_error;
  out.difference_error = found.difference_error;
  out.rounding_error = found.rounding_error;
  out.norm_error = found.norm_error;
  out.worst_row = found.worst_row;
  out.worst_column = found.worst_column;
  out.worst_gradient = {found.worst_gradient.mantissa, found.worst_gradient.exponent};
  out.worst_difference = {found.worst_difference.mantissa, found.worst_difference.exponent};
  return out;
}

}  // namespace

extern "C" {

softstep_status softstep_check_gradient(const softstep_model* model, const void* const* blocks,
                                        const softstep_gradient_check_options* options,
                                        softstep_gradient_check_result* results, int32_t* passed) {
  return guarded([&] {
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      Results<softstep_gradient_check_result> out(results, of.blocks().size(), "results");
      std::vector<std::span<const T>> views;
      view_blocks<T>(of, blocks, "blocks", views);
      const GradientCheck found = check_gradient(of, Point<T>(views), options_of(options));
      for (std::size_t k = 0; k < found.blocks.size(); ++k) out.put(k, result_of(found.blocks[k]));
      if (passed != nullptr) *passed = found.passed ? 1 : 0;
    });
  });
}
}
