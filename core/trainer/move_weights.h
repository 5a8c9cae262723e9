#pragma once

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"
#include "softstep/step_rules.h"

namespace softstep {

/// Takes a step of a rule, entries begin to end, with weights that are kept as they are; with master weights in double, these move
/// and are rounded to T.
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, std::size_t begin, std::size_t end,
                  std::vector<T>& weights, std::vector<double>& master) {
  if (step.computed == nullptr && master.empty()) {
    kernels.axpy(end - begin, static_cast<T>(-step.coefficient), step.direction + begin,
                 weights.data() + begin);
    return;
  }
  for (std::size_t k = begin; k < end; ++k) {
    const double direction =
        step.computed != nullptr ? step.computed[k] : static_cast<double>(step.direction[k]);
    const double before = master.empty() ? static_cast<double>(weights[k]) : master[k];
    const double after = step.replaces ? direction : before - step.coefficient * direction;
    if (!master.empty()) master[k] = after;
    weights[k] = static_cast<T>(after);
  }
}
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, std::vector<T>& weights,
                  std::vector<double>& master) {
  move_weights(kernels, step, 0, weights.size(), weights, master);
}

}  // namespace softstep
