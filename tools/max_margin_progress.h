#pragma once

#include <fmt/format.h>

#include <chrono>
#include <functional>

#include "interrupt.h"
#include "softstep/max_margin.h"

namespace softstep::program {

/// What `progress` of the solvers is to do: a progress line, and a stop (status interrupted) at Ctrl-C.
inline std::function<bool(std::size_t, double, double)> solver_progress(ProgressLine& line) {
  auto shown = std::chrono::steady_clock::now();
  return [&line, shown](std::size_t sweeps, double gap, double residual) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (line.active() && now - shown > std::chrono::milliseconds(100)) {
      shown = now;
      line.show(
          fmt::format("solve: sweep {}, duality gap {:.1e}, KKT residual {:.1e}", sweeps, gap, residual));
    }
    return !interrupted();
  };
}

/// Solves with a progress line.
template <class T>
MaxMarginResult solve_with_progress(const BatchView<T>& batch, MaxMarginOptions options, ProgressLine& line) {
  options.progress = solver_progress(line);
  return solve_max_margin(batch, options);
}

}  // namespace softstep::program
