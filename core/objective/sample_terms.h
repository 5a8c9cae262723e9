#pragma once

// What the numbers of one sample's kernel call mean (docs/mathematics.md, section 2), in double.

#include <algorithm>
#include <cmath>

#include "simd/dispatch.h"
#include "softstep/scaled.h"

namespace softstep {

template <class T>
struct SampleTerms {
  const simd::AttentionStats<T>& stats;
  double gap_unit;       ///< of stats.mean_gap
  double pivot_gap;      ///< gamma_opt - gamma_a >= 0
  double optimal_score;  ///< gamma_opt

  double exponent() const { return static_cast<double>(stats.exponent); }
  double mean_gap() const { return gap_unit * static_cast<double>(stats.mean_gap); }
  double pivot_score() const { return optimal_score - pivot_gap; }

  /// e^c mu, plain: 0 where it underflows (or where there is no token outside A and mu = 0, c = -inf).
  double shifted_mean_gap() const { return mean_gap() == 0.0 ? 0.0 : std::exp(exponent()) * mean_gap(); }
  /// m = gamma_a + e^c mu
  double margin() const { return pivot_score() + shifted_mean_gap(); }

  /// gamma_opt - m = (gamma_opt - gamma_a) - e^c mu; a pair only where the first part is exactly zero. Never
  /// negative.
  Scaled gap_to_optimal() const {
    if (pivot_gap == 0.0) return {-mean_gap(), exponent()};
    const double gap = pivot_gap - shifted_mean_gap();
    return {gap < 0.0 ? 0.0 : gap, 0.0};
  }
  /// gamma_a - m = -e^c mu, of either sign.
  Scaled gap_to_pivot() const { return {-mean_gap(), exponent()}; }

  double optimal_attention(std::size_t optimal) const {
    const auto p = static_cast<double>(stats.pivot_attention);
    return optimal == stats.pivot ? p : p * std::exp(static_cast<double>(stats.optimal_score));
  }
  /// log(1 - p_opt), right far below machine epsilon: 1 - p_a = p_a (ties + e^c E).
  double log_one_minus_optimal_attention(std::size_t optimal) const {
    if (optimal != stats.pivot) return std::log1p(-optimal_attention(optimal));
    const double log_p = std::log(static_cast<double>(stats.pivot_attention));
    const auto ties = static_cast<double>(stats.ties), rest = static_cast<double>(stats.rest);
    if (ties == 0.0) return log_p + (rest == 0.0 ? -INFINITY : exponent() + std::log(rest));
    return log_p + std::log(ties + (rest == 0.0 ? 0.0 : std::exp(exponent()) * rest));
  }
};

}  // namespace softstep
