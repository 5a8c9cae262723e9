#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "softstep/metrics.h"

namespace softstep {

/// Watches 1 - cos(W, reference) fall without measuring it at every step: weights that have moved by p since
/// they were measured with norm N have turned by at most asin(p / N).
class DirectionWatch {
 public:
  explicit DirectionWatch(const std::vector<double>& reference) : reference_(reference) {}

  /// The weights have moved by this much; in arithmetic of this unit roundoff, so by a little more.
  void moved(double length, double unit_roundoff) {
    path_ += length + unit_roundoff * (norm_ + path_ + length);
  }

  /// Whether 1 - cos cannot have come down to the threshold yet. Costs next to nothing while it is asked for
  /// one threshold.
  bool surely_above(double threshold) const {
    if (threshold != reach_of_) {
      reach_of_ = threshold;
      reach_ = reach_to(threshold);
    }
    return path_ < reach_;
  }

  template <class T>
  bool at_most(const std::vector<T>& weights, double threshold) {
    const Direction now = compare_direction(weights, reference_);
    angle_ = now.angle;
    norm_ = frobenius_norm(weights);
    path_ = 0.0;
    reach_of_ = -1.0;
    return now.one_minus_cos <= threshold;
  }

 private:
  // How far the weights can move, at least, until 1 - cos has come down to a threshold.
  double reach_to(double threshold) const {
    constexpr double slack = 1.0 + 1e-9, right_angle = 1.57079632679489662;  // slack: rounding in here
    const double target = 2.0 * std::asin(std::sqrt(std::fmin(threshold, 2.0) / 2.0));
    const double turn = (angle_ - target * slack) / slack;
    return turn > 0.0 ? norm_ * std::sin(std::min(turn, right_angle)) / slack : 0.0;
  }

  const std::vector<double>& reference_;
  double angle_ = 0.0, norm_ = 0.0, path_ = 0.0;
  mutable double reach_ = 0.0, reach_of_ = -1.0;
};

}  // namespace softstep
