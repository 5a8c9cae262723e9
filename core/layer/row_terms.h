#pragma once

// What the numbers of one row's kernel call mean (docs/mathematics.md, section 2), in double.

#include <algorithm>
#include <cmath>

#include "core/layer/outcomes.h"
#include "core/losses/loss_of.h"
#include "simd/dispatch.h"
#include "softstep/scaled.h"

namespace softstep {

struct RowTerms {
  double exponent;       ///< c
  double mean_gap;       ///< mu, in units of 2^gap_power
  double pivot_gap;      ///< gamma_opt - gamma_a >= 0, likewise
  double optimal_score;  ///< gamma_opt
  int gap_power = 0;     ///< not 0 only where a double would not hold gaps (is_far)

  double pivot_score() const { return optimal_score - plain(pivot_gap); }
  /// e^c mu, plain: 0 where it underflows (or where there is no token outside A and mu = 0, c = -inf).
  double shifted_mean_gap() const { return mean_gap == 0.0 ? 0.0 : std::exp(exponent) * mean_gap; }
  /// m = gamma_a + e^c mu
  double margin() const { return pivot_score() + plain(shifted_mean_gap()); }

  /// gamma_opt - m = (gamma_opt - gamma_a) - e^c mu; with the exponent c only where the first part is exactly
  /// zero. Never negative.
  Scaled gap_to_optimal() const {
    if (pivot_gap == 0.0) return pair(-mean_gap, exponent);
    const double gap = pivot_gap - shifted_mean_gap();
    return pair(gap < 0.0 ? 0.0 : gap, 0.0);
  }
  /// gamma_a - m = -e^c mu, of either sign.
  Scaled gap_to_pivot() const { return pair(-mean_gap, exponent); }

  /// -l'(m), from the score of the pivot: right also where l' is zero there and m rounds to it.
  Scaled slope(const LossOf& loss, double target) const {
    return loss.slope_near(pivot_score(), pair(mean_gap, exponent), target);
  }

  // A gap in units of 2^gap_power as a plain number, and as a pair with a factor of its own.
  double plain(double gap) const { return gap_power == 0 ? gap : std::ldexp(gap, gap_power); }
  Scaled pair(double gap, double log_factor) const {
    return {gap, gap_power == 0 ? log_factor : log_factor + gap_power * std::log(2.0)};
  }
};

template <class T>
[[gnu::always_inline]] inline RowTerms terms_of(const Outcomes<T>& outcomes, std::size_t row,
                                                const Scoring<T>& scoring, std::size_t sample) {
  const int power = scoring.gap_power(sample);
  if (is_far(power))
    return {outcomes.exponent[row], outcomes.mean_gap[row], outcomes.pivot_gap_in_units[row],
            scoring.optimal_score(sample), power};
  return {outcomes.exponent[row], scoring.gap_unit(sample) * outcomes.mean_gap[row], outcomes.pivot_gap[row],
          scoring.optimal_score(sample)};
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
