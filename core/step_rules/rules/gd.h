#pragma once

#include "core/step_rules/coefficients.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// Gradient descent, W -= eta G: the true step, however small. Source: arXiv 2402.05738, section 3.
struct GradientDescent {
  struct Settings {
    /// eta > 0.
    double step_size = 1.0;
  };
  static constexpr const char* formula = "W -= eta G";
  static constexpr const char* source = "arXiv 2402.05738, gradient descent";
  static std::vector<Field<Settings>> fields() {
    return {{"step-size", &Settings::step_size, Range::positive, false, "eta"}};
  }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&, RuleState&) {
    const double scale = times_exp(settings.step_size, at.gradient_exponent);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
