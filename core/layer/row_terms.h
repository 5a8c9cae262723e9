#pragma once

// What the numbers of one sample's kernel call mean (docs/mathematics.md, section 2), in double.

#include <algorithm>
#include <cmath>

#include "core/layer/outcomes.h"
#include "simd/dispatch.h"
#include "softstep/scaled.h"

namespace softstep {

struct RowTerms {
  double exponent;       ///< c
  double mean_gap;       ///< mu
  double pivot_gap;      ///< gamma_opt - gamma_a >= 0
  double optimal_score;  ///< gamma_opt

  double pivot_score() const { return optimal_score - pivot_gap; }
  /// e^c mu, plain: 0 where it underflows (or where there is no token outside A and mu = 0, c = -inf).
  double shifted_mean_gap() const { return mean_gap == 0.0 ? 0.0 : std::exp(exponent) * mean_gap; }
  /// m = gamma_a + e^c mu
  double margin() const { return pivot_score() + shifted_mean_gap(); }

  /// gamma_opt - m = (gamma_opt - gamma_a) - e^c mu; a pair only where the first part is exactly zero. Never
  /// negative.
  Scaled gap_to_optimal() const {
    if (pivot_gap == 0.0) return {-mean_gap, exponent};
    const double gap = pivot_gap - shifted_mean_gap();
    return {gap < 0.0 ? 0.0 : gap, 0.0};
  }
  /// gamma_a - m = -e^c mu, of either sign.
  Scaled gap_to_pivot() const { return {-mean_gap, exponent}; }
};

template <class T>
RowTerms terms_of(const Outcomes<T>& outcomes, std::size_t row, double gap_unit, double optimal_score) {
  return {outcomes.exponent[row], gap_unit * outcomes.mean_gap[row], outcomes.pivot_gap[row], optimal_score};
}

/// p_opt
template <class T>
double attention_of(const simd::AttentionStats<T>& stats, std::size_t optimal) {
  const auto p = static_cast<double>(stats.pivot_attention);
  return optimal == stats.pivot ? p : p * std::exp(static_cast<double>(stats.optimal_score));
}

/// log(1 - p_opt), right far below machine epsilon: 1 - p_a = p_a (ties + e^c E).
template <class T>
double log_one_minus_attention_of(const simd::AttentionStats<T>& stats, std::size_t optimal) {
  if (optimal != stats.pivot) return std::log1p(-attention_of(stats, optimal));
  const double log_p = std::log(static_cast<double>(stats.pivot_attention));
  const auto ties = static_cast<double>(stats.ties), rest = static_cast<double>(stats.rest),
             exponent = static_cast<double>(stats.exponent);
  if (ties == 0.0) return log_p + (rest == 0.0 ? -INFINITY : exponent + std::log(rest));
  return log_p + std::log(ties + (rest == 0.0 ? 0.0 : std::exp(exponent) * rest));
}

}  // namespace softstep
