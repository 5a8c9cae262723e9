#pragma once

#include "core/step_rules/settings.h"

namespace softstep::rules {

/// Normalised gradient descent, W -= eta_t G / ||G||_F with eta_t = eta (t+1)^-a: independent of the
/// gradient's exponent. Source: arXiv 2402.05738, normalised GD.
struct NormalizedGradientDescent {
  struct Settings {
    /// eta > 0, the length of the first step.
    double step_size = 1.0;
    /// a >= 0; 0 keeps the length constant.
    double schedule_power = 0.0;
  };
  static constexpr const char* formula = "W -= eta_t G/|G|, eta_t = eta (t+1)^-a";
  static constexpr const char* source = "arXiv 2402.05738, normalised GD";
  static std::vector<Field<Settings>> fields() { return schedule_fields<Settings>(); }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&, RuleState&) {
    const double length = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, length / at.gradient_norm, at.gradient, length};
  }
};

}  // namespace softstep::rules
