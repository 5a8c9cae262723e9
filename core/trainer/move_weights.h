#pragma once

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"
#include "softstep/step_rules.h"

namespace softstep {

/// Weights and what is kept beside them, each empty or as long: what they are in double, or what they have been rounded off.
template <class T>
struct KeptWeights {
  std::vector<T>& weights;
  std::vector<double>& master;
  std::vector<T>& remainder;
};

/// Takes a step of a rule, entries begin to end; with master weights in double, these move and are rounded to T.
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, std::size_t begin, std::size_t end,
                  const KeptWeights<T>& kept) {
  auto& [weights, master, remainder] = kept;
  if (step.computed == nullptr && master.empty()) {
    const T a = static_cast<T>(-step.coefficient);
    if (remainder.empty())
      kernels.axpy(end - begin, a, step.direction + begin, weights.data() + begin);
    else
      kernels.axpy_compensated(end - begin, a, step.direction + begin, weights.data() + begin,
                               remainder.data() + begin);
    return;
  }
  for (std::size_t k = begin; k < end; ++k) {
    const double direction =
        step.computed != nullptr ? step.computed[k] : static_cast<double>(step.direction[k]);
    double before = master.empty() ? static_cast<double>(weights[k]) : master[k];
    if (!remainder.empty()) before += static_cast<double>(remainder[k]);
    const double after = step.replaces ? direction : before - step.coefficient * direction;
    if (!master.empty()) master[k] = after;
    weights[k] = static_cast<T>(after);
    if (!remainder.empty()) remainder[k] = static_cast<T>(after - static_cast<double>(weights[k]));
  }
}
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, const KeptWeights<T>& kept) {
  move_weights(kernels, step, 0, kept.weights.size(), kept);
}

}  // namespace softstep
