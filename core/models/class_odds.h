#pragma once

// The softmax of several classes as odds against the right one: nothing cancels, whatever the logits.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/data/extremes.h"
#include "simd/dispatch.h"
#include "softstep/multiclass.h"
#include "softstep/scaled.h"

namespace softstep {

/// Of one sample: `log_share` [n_classes] receives log S_ic, and NaN-free input gives sum_{c != y} S_ic
/// e^-top finite. Returns sum_{c != y} e^(m_ic), the odds of a mistake; -infinity stands at the right class.
inline Scaled class_odds(const MulticlassData& data, std::size_t i, const double* w,
                         const simd::Kernels<double>& kernels, double* log_share) {
  const std::size_t k = data.n_classes, d = data.dim, y = data.classes[i];
  const double* h = data.features.data() + i * d;
  const double right = kernels.dot(d, w + y * d, h);
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < k; ++c) {
    if (c == y) continue;
    log_share[c] = kernels.dot(d, w + c * d, h) - right;
    top = data::larger(top, log_share[c]);
  }
  Scaled odds{0.0, top};
  for (std::size_t c = 0; c < k; ++c)
    if (c != y) odds.mantissa += std::exp(log_share[c] - top);
  // log(1 + e^top mantissa)
  const double whole = top <= 0.0 ? std::log1p(odds.value()) : top + std::log(std::exp(-top) + odds.mantissa);
  for (std::size_t c = 0; c < k; ++c) log_share[c] -= whole;
  log_share[y] = -std::numeric_limits<double>::infinity();
  return odds;
}

}  // namespace softstep
