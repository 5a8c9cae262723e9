#pragma once

// What a batch's samples add up to, from the terms of each.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/objective/loss.h"
#include "core/objective/sample_terms.h"
#include "softstep/objective.h"

namespace softstep {

/// L - L*, for `selected` L* and, if it is wanted, L.
class LossSum {
 public:
  /// `terms`: work space, one for each sample.
  LossSum(const ObjectiveOptions& options, Scaled* terms, bool with_loss)
      : options_(options), terms_(terms), with_loss_(with_loss) {}

  /// `optimal_slope`: loss_slope at the optimal score, where it is known.
  template <class T>
  void add(const SampleTerms<T>& sample, const Scaled* optimal_slope = nullptr) {
    const Loss kind = options_.loss;
    if (with_loss_) loss_ += loss_value(kind, sample.margin());
    switch (options_.optimal_loss) {
      case OptimalLoss::optimal:
        terms_[n_] = loss_difference(
            kind, sample.optimal_score,
            optimal_slope != nullptr ? *optimal_slope : loss_slope(kind, sample.optimal_score),
            sample.gap_to_optimal());
        break;
      case OptimalLoss::selected:
        terms_[n_] = loss_difference(kind, sample.pivot_score(), sample.gap_to_pivot());
        selected_ += loss_value(kind, sample.pivot_score());
        break;
      case OptimalLoss::value:
      case OptimalLoss::zero:
        terms_[n_] = loss_scaled(kind, sample.margin());
    }
    ++n_;
  }

  double loss() const { return loss_ / count(); }
  double selected_loss() const { return selected_ / count(); }
  Scaled gap(double optimal_loss) const {
    const Scaled gap = mean_scaled(terms_, n_);
    return options_.optimal_loss == OptimalLoss::value ? minus_optimal(gap, optimal_loss) : gap;
  }

 private:
  double count() const { return static_cast<double>(n_); }
  const ObjectiveOptions& options_;
  Scaled* terms_;
  const bool with_loss_;
  std::size_t n_ = 0;
  double loss_ = 0.0, selected_ = 0.0;
};

/// min_i p_i,opt and log10 max_i (1 - p_i,opt).
class OptimalAttention {
 public:
  template <class T>
  void add(const SampleTerms<T>& sample, std::size_t optimal) {
    const double p = sample.optimal_attention(optimal);
    const double rest = sample.log_one_minus_optimal_attention(optimal);
    nan_ = nan_ || std::isnan(p) || std::isnan(rest);
    smallest_ = std::min(smallest_, p);
    largest_rest_ = std::max(largest_rest_, rest);
  }
  double smallest() const { return nan_ ? std::numeric_limits<double>::quiet_NaN() : smallest_; }
  double log10_largest_rest() const {
    return nan_ ? std::numeric_limits<double>::quiet_NaN() : largest_rest_ / std::log(10.0);
  }

 private:
  double smallest_ = 1.0, largest_rest_ = -std::numeric_limits<double>::infinity();
  bool nan_ = false;
};

}  // namespace softstep
