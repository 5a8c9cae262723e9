#pragma once

// What attending to the samples of a pass yields beside the gradient rows, by row of the pass.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/scoring.h"
#include "core/layer/units.h"
#include "simd/dispatch.h"

namespace softstep {

template <class T>
class Outcomes {
 public:
  /// Room for `n` rows. What is no row, up to whole vectors, has a largest entry of 0.
  explicit Outcomes(std::size_t n) {
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
