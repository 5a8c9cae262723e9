#pragma once

#include "core/step_rules/coefficients.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// Stochastic gradient descent: gd with a schedule, on the gradient of a mini-batch. Source: H. Robbins, S.
/// Monro, A Stochastic Approximation Method, 1951.
struct StochasticGradientDescent {
  struct Settings {
    /// eta > 0.
    double step_size = 1.0;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
  };
  static constexpr const char* formula = "W -= eta_t G, eta_t = eta (t+1)^-a, G of a mini-batch";
  static constexpr const char* source = "Robbins, Monro 1951";
  static std::vector<Field<Settings>> fields() { return schedule_fields<Settings>(); }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&, RuleState&) {
    const double scale =
        times_exp(scheduled(settings.step_size, settings.schedule_power, at.iteration), at.gradient_exponent);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
