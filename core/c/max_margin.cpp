#include "softstep/max_margin.h"

#include <algorithm>

#include "core/c/handles.h"

namespace softstep::c {
namespace {

MaxMarginOptions options_of(const softstep_max_margin_options* given, std::size_t n_samples) {
  const softstep_max_margin_options in = read(given, "options");
  MaxMarginOptions out;
  if (in.tolerance != 0.0) out.tolerance = in.tolerance;
  if (in.max_sweeps != 0) out.max_sweeps = in.max_sweeps;
  out.n_threads = threads(in.n_threads, "options.n_threads");
  if (in.selected != nullptr) out.selected = {in.selected, in.selected + n_samples};
  if (in.progress != nullptr)
    out.progress = [progress = in.progress, user = in.user](std::size_t sweeps, double gap, double residual) {
      return progress(user, sweeps, gap, residual) == 0;
    };
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_solve_max_margin(const softstep_batch* batch,
                                          const softstep_max_margin_options* options, double* weights,
                                          softstep_max_margin_result* result) {
  return guarded([&] {
    check_writable(result, "result");
    const MaxMarginResult found = std::visit(
        [&]<class View>(const View& view) -> MaxMarginResult {
          if constexpr (std::is_same_v<View, HalfBatchView>)
            throw NotSupported("batch.type", "16 bits (the solver takes float32 or float64)");
          else
            return solve_max_margin(view, options_of(options, view.n_samples));
        },
        batch_of(batch).of);
    if (weights != nullptr) std::copy(found.weights.begin(), found.weights.end(), weights);
    softstep_max_margin_result out{};
    out.status = to_string(found.status);
    out.norm = found.norm;
    out.margin = found.margin;
    out.duality_gap = found.duality_gap;
    out.kkt_residual = found.kkt_residual;
    out.certificate = found.certificate;
    out.n_constraints = found.n_constraints;
    out.n_support = found.n_support;
    out.sweeps = found.sweeps;
    write(out, result, "result");
  });
}
}
