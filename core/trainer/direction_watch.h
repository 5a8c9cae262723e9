#pragma once

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

  /// Whether 1 - cos cannot have come down to the threshold yet. Costs next to nothing.
  bool surely_above(double threshold) const {
    const double target = 2.0 * std::asin(std::sqrt(std::fmin(threshold, 2.0) / 2.0));
    constexpr double slack = 1.0 + 1e-9;  // covers the rounding of this formula
    return path_ < norm_ && angle_ - std::asin(path_ / norm_) * slack > target * slack;
  }

  template <class T>
  bool at_most(const std::vector<T>& weights, double threshold) {
    const Direction now = compare_direction(weights, reference_);
    angle_ = now.angle;
    norm_ = frobenius_norm(weights);
    path_ = 0.0;
    return now.one_minus_cos <= threshold;
  }

 private:
  const std::vector<double>& reference_;
  double angle_ = 0.0, norm_ = 0.0, path_ = 0.0;
};

}  // namespace softstep
