#pragma once

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"
#include "softstep/step_rules.h"

namespace softstep {

/// Weights and what is kept beside them, each empty or as long: what they are in double, or what they have
/// been rounded off.
template <class T>
struct KeptWeights {
  std::vector<T>& weights;
  std::vector<double>& master;
  std::vector<T>& remainder;
};

/// Takes a step whose new weights are computed in double: `after(k, w)` of entry k, which is w now. What is
/// kept beside the weights is known to the compiler, so that each loop is one of vectors.
template <class T, class After>
void set_weights(std::size_t begin, std::size_t end, const KeptWeights<T>& kept, After after) {
  T* const weights = kept.weights.data();
  if (!kept.master.empty()) {
    double* const master = kept.master.data();
    for (std::size_t k = begin; k < end; ++k) {
      master[k] = after(k, master[k]);
      weights[k] = static_cast<T>(master[k]);
    }
  } else if (!kept.remainder.empty()) {
    T* const remainder = kept.remainder.data();
    for (std::size_t k = begin; k < end; ++k) {
      const double w = after(k, static_cast<double>(weights[k]) + static_cast<double>(remainder[k]));
      weights[k] = static_cast<T>(w);
      remainder[k] = static_cast<T>(w - static_cast<double>(weights[k]));
    }
  } else {
    for (std::size_t k = begin; k < end; ++k)
      weights[k] = static_cast<T>(after(k, static_cast<double>(weights[k])));
  }
}

/// Takes a step of a rule, entries begin to end; with master weights in double, these move and are rounded to
/// T.
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, std::size_t begin, std::size_t end,
                  const KeptWeights<T>& kept) {
  const double* const computed = step.computed;
  const double a = step.coefficient;
  const T* const direction = step.direction;
  if (computed != nullptr && step.replaces)
    set_weights(begin, end, kept, [=](std::size_t k, double) { return computed[k]; });
  else if (computed != nullptr)
    set_weights(begin, end, kept, [=](std::size_t k, double w) { return w - a * computed[k]; });
  else if (!kept.master.empty())
    set_weights(begin, end, kept,
                [=](std::size_t k, double w) { return w - a * static_cast<double>(direction[k]); });
  else if (!kept.remainder.empty())
    kernels.axpy_compensated(end - begin, static_cast<T>(-a), direction + begin, kept.weights.data() + begin,
                             kept.remainder.data() + begin);
  else
    kernels.axpy(end - begin, static_cast<T>(-a), direction + begin, kept.weights.data() + begin);
}
template <class T>
void move_weights(const simd::Kernels<T>& kernels, const Step<T>& step, const KeptWeights<T>& kept) {
  move_weights(kernels, step, 0, kept.weights.size(), kept);
}

}  // namespace softstep
