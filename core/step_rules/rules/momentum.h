#pragma once

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Fast margin maximisation by dual acceleration: with q_t = G/(L - L*), v_t = l_t (v_{t-1} + q_t), l_t =
/// t/(t+1), W -= theta (v_t + q_t). q is the gradient of log(L - L*), a plain number whatever the exponents;
/// W grows like t^2. Source: Z. Ji, N. Srebro, M. Telgarsky, Fast Margin Maximization via Dual Acceleration,
/// ICML 2021.
struct DualAcceleration {
  struct Settings {
    /// theta > 0.
    double step_size = 1.0;
  };
  static constexpr const char* formula = "W -= theta (v + q), v = t/(t+1) (v + q), q = G/(L-L*)";
  static constexpr const char* source = "Ji, Srebro, Telgarsky 2021, dual acceleration";
  static std::vector<Field<Settings>> fields() {
    return {{"step-size", &Settings::step_size, Range::positive, false, "eta"}};
  }
  static std::vector<RuleMemory> memory() { return {{"momentum.v"}, {"momentum.steps", 1}}; }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::gap_not_positive, 0.0, at.gradient, 0.0};
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& v = remembered(memory, next, "momentum.v", size);
    double& count = remembered(memory, next, "momentum.steps", 1)[0];
    const double apart = at.gradient_exponent - at.loss_gap.exponent, factor = std::exp(apart);
    const double l = count / (count + 1.0);
    next.direction.resize(size);
    // Pointers and selects, so that the loop becomes one of vectors.
    double *const kept = v.data(), *const direction = next.direction.data();
    const T* const gradient = at.gradient;
    const double gap = at.loss_gap.mantissa;
    const auto move = [=](auto times_factor) {
      for (std::size_t k = 0; k < size; ++k) {
        const auto g = static_cast<double>(gradient[k]);
        // 0 stays 0, whatever the factor.
        const double quotient = times_factor(g / gap), q = g == 0.0 ? 0.0 : quotient;
        kept[k] = l * (kept[k] + q);
        direction[k] = kept[k] + q;
      }
    };
    if (std::isnormal(factor))
      move([factor](double x) { return x * factor; });
    else
      move([apart](double x) { return times_exp(x, apart); });
    const double length = settings.step_size * frobenius_norm({next.direction.data(), size});
    count += 1.0;
    return {Step<T>::Outcome::moved, settings.step_size, nullptr, length, next.direction.data()};
  }
};

}  // namespace softstep::rules
