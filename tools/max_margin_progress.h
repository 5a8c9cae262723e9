#pragma once

#include <chrono>
#include <cstdio>

#include "interrupt.h"
#include "softstep/max_margin.h"

namespace softstep::program {

/// Solves with a progress line, and stops (status interrupted) at Ctrl-C.
template <class T>
MaxMarginResult solve_with_progress(const BatchView<T>& batch, MaxMarginOptions options, ProgressLine& line) {
  auto shown = std::chrono::steady_clock::now();
  options.progress = [&](std::size_t sweeps, double gap, double residual) {
    const auto now = std::chrono::steady_clock::now();
    if (line.active() && now - shown > std::chrono::milliseconds(100)) {
      shown = now;
      char text[120];
      std::snprintf(text, sizeof text, "solve: sweep %zu, duality gap %.1e, KKT residual %.1e", sweeps, gap,
                    residual);
      line.show(text);
    }
    return !interrupted();
  };
  return solve_max_margin(batch, options);
}

}  // namespace softstep::program
