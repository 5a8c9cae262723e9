#pragma once

// The loss of a run: one of the library's, computed inline, or the caller's. What loss_terms.h says of the
// library's losses holds of all here; slopes are -l', as there.

#include <cmath>
#include <limits>
#include <string>

#include "core/losses/loss_terms.h"

namespace softstep {

class LossOf {
 public:
  LossOf(Loss kind, const LossFunction* own) : kind_(kind), own_(own) {}

  std::string name() const { return own_ != nullptr ? own_->name() : to_string(kind_); }
  bool is_decreasing() const { return own_ != nullptr ? own_->is_decreasing() : kind_ != Loss::squared; }
  bool is_bounded_below() const { return own_ == nullptr || own_->is_bounded_below(); }
  /// Whether the kernel row_factors computes its slopes.
  bool has_kernel() const { return own_ == nullptr && kind_ != Loss::squared; }
  bool is_logistic() const { return kind_ == Loss::logistic; }

  double value(double m, double target) const {
    return plain() ? loss_value(kind_, m) : general_value(m, target).value();
  }
  Scaled scaled(double m, double target) const {
    return plain() ? loss_scaled(kind_, m) : general_value(m, target);
  }
  /// -l'
  Scaled slope(double m, double target) const {
    if (plain()) return loss_slope(kind_, m);
    return own_ != nullptr ? -own_->derivative(m, target) : Scaled{target - m, 0.0};
  }
  /// -l' at m = gamma + shift, the shift given as a pair. Where l'(gamma) is exactly zero (a squared loss at
  /// its label) l' is of the shift's size and keeps its digits: exactly so for the squared loss, to first
  /// order where m rounds to gamma.
  Scaled slope_near(double gamma, Scaled shift, double target) const {
    const double m = gamma + shift.value();
    if (plain()) return loss_slope(kind_, m);
    const bool squared = own_ == nullptr;
    const Scaled at_gamma = slope(gamma, target);
    if (shift.mantissa == 0.0 || !(at_gamma.mantissa == 0.0) || (!squared && m != gamma)) {
      if (!squared) return slope(m, target);
      const double residual = (target - gamma) - shift.value();
      return {residual, 0.0};
    }
    const Scaled second = curvature(gamma, target);
    return {-second.mantissa * shift.mantissa, second.exponent + shift.exponent};
  }
  /// l at m = gamma + shift, as slope_near(): of a squared loss whose label is gamma half the square of the
  /// shift, also where m rounds to the label.
  Scaled scaled_near(double m, double gamma, Scaled shift, double target) const {
    if (!plain() && own_ == nullptr && gamma == target) return half_square(shift);
    return scaled(m, target);
  }
  /// l''
  Scaled curvature(double m, double target) const {
    if (plain()) return loss_curvature(kind_, m);
    return own_ != nullptr ? own_->second_derivative(m, target) : Scaled{1.0, 0.0};
  }
  /// l(gamma - delta) - l(gamma)
  Scaled difference(double gamma, Scaled delta, double target) const {
    if (plain()) return loss_difference(kind_, gamma, delta);
    return own_ != nullptr ? own_->difference(gamma, delta, target)
                           : squared_difference(gamma - target, delta);
  }
  /// The same where the slope at gamma is known; in every step, for every sample.
  [[gnu::always_inline]] Scaled difference(double gamma, Scaled slope_at_gamma, Scaled delta,
                                           double target) const {
    return plain() ? loss_difference(kind_, gamma, slope_at_gamma, delta) : difference(gamma, delta, target);
  }

 private:
  bool plain() const { return has_kernel(); }
  Scaled general_value(double m, double target) const {
    return own_ != nullptr ? own_->value(m, target) : half_square({m - target, 0.0});
  }

  Loss kind_;
  const LossFunction* own_;
};

}  // namespace softstep
