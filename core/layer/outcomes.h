#pragma once

// What attending to the samples of a pass yields beside the gradient rows, by row of the pass; and by sample
// where these have several rows.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/scoring.h"
#include "core/layer/units.h"
#include "core/losses/loss_of.h"
#include "simd/dispatch.h"
#include "softstep/scaled.h"

namespace softstep {

/// A sample of several queries: what pooling its rows comes to (sample_terms.h).
struct SampleTerms {
  double optimal_score = 0.0;    ///< that of m where all rows attend to the optimal token
  double score_of_pivots = 0.0;  ///< that of m where each attends to its pivot
  Scaled to_optimal, to_pivots;  ///< the first and the second less m

  double pivot_score() const { return score_of_pivots; }
  double margin() const { return score_of_pivots - to_pivots.value(); }
  Scaled gap_to_optimal() const { return to_optimal; }
  Scaled gap_to_pivot() const { return to_pivots; }
  /// -l'(m)
  Scaled slope(const LossOf& loss, double target) const {
    return loss.slope_near(score_of_pivots, -to_pivots, target);
  }
};

template <class T>
class Outcomes {
 public:
  /// Room for `n` rows, and for `n_pooled` samples of several. What is no row, up to whole vectors, has a
  /// largest entry of 0.
  explicit Outcomes(std::size_t n, std::size_t n_pooled = 0) : pooled(n_pooled) {
    const std::size_t padded = simd::round_up_to_lanes<T>(n);
    for (auto* values : {&exponent, &mean_gap, &pivot_gap, &largest, &pivot_gap_in_units})
      values->assign(padded, 0.0);
  }

  // What the kernel row_factors reads, in double.
  std::vector<double> exponent;   ///< c
  std::vector<double> mean_gap;   ///< mu, in units of the sample's gaps
  std::vector<double> pivot_gap;  ///< gamma_opt - gamma_a
  std::vector<double> largest;    ///< the largest entry of the gradient row without l'; 0 for no row
  /// pivot_gap in units of the sample's gaps; set where these are far from 1 (is_far), else not.
  std::vector<double> pivot_gap_in_units;
  /// By sample of the pass; empty where rows are samples.
  std::vector<SampleTerms> pooled;

  /// Takes down a sample's statistics; `largest_entry` of its row.
  void note(std::size_t row, const simd::AttentionStats<T>& stats, double largest_entry,
            const Scoring<T>& scoring, std::size_t sample) {
    exponent[row] = static_cast<double>(stats.exponent);
    mean_gap[row] = static_cast<double>(stats.mean_gap);
    pivot_gap[row] = scoring.gap(sample, stats.pivot);
    largest[row] = with_reciprocal<T>(largest_entry);
    if (is_far(scoring.gap_power(sample)))
      pivot_gap_in_units[row] = scoring.gap_in_units(sample, stats.pivot);
  }
};

}  // namespace softstep
