#pragma once

// The moments of in-context regression from several tasks, and what no choice of the matrix can make good for
// the weights of the examples.

#include <cstddef>
#include <vector>

#include "softstep/gated.h"

namespace softstep {

/// Weights of the examples and what the loss knows of them.
struct MultitaskSums {
  std::vector<double> weights = {};  ///< w [n]
  std::vector<double> of_task = {};  ///< [K] their sums by task
  double along = 0.0;                ///< r^T w
  double seen = 0.0;                 ///< w^T R w
  double squared = 0.0;              ///< |w|^2
};

struct MultitaskMoments {
  explicit MultitaskMoments(const MultitaskRegression& regression);  ///< throws as its validate()

  /// The sums of weights that are there.
  void set_sums(MultitaskSums& sums) const;
  /// w^T R w + |w|^2 B_i / S_i^2, where B / S^2 = 1 + (tr S + noise) / S.
  double spread(const MultitaskSums& sums, std::size_t i) const {
    return sums.seen + sums.squared * noise_ratios[i];
  }
  /// The least loss of all P at these weights, less that at the best weights. No smaller than 0. With r^T w =
  /// 1, e = w less the best ones and D = `spread`, each eigenvalue's part is S_i (1 / D*_i - 1 / D_i), D_i -
  /// D*_i = 2 (h_i - h) w*^T e + e^T (R + h_i I) e =: 2 l_i + q_i, and sum_i S_i l_i / D*_i^2 = 0 by the
  /// choice of h, so that
  ///   gap = sum_i S_i (q_i - (D_i - D*_i)^2 / D_i) / D*_i^2
  double weight_gap(const MultitaskSums& sums) const;

  MultitaskRegression data;
  std::vector<double> noise_ratios;  ///< [dim] h_i = B_i / S_i^2
  double ridge = 0.0;                ///< h, of the best weights w* = (R + h I)^-1 r
  std::vector<double> best;          ///< [K] best weight of an example of the task, r^T w* = 1
  double optimal_loss = 0.0;         ///< L*

 private:
  std::vector<double> best_spread_;  // [dim] D*_i
};

}  // namespace softstep
