#pragma once

#include <limits>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// Polyak step size, W -= (L - L*) / (c ||G||^2) G, c = 2. Gap and gradient are pairs with nearly the same
/// exponent, so the quotient neither underflows nor cancels. `cap` bounds the coefficient of G (infinite: no
/// cap). Source: arXiv 2402.05738, Polyak step size; B. T. Polyak, Introduction to Optimization, 1987.
struct PolyakStep {
  struct Settings {
    /// c > 0.
    double factor = 2.0;
    /// Largest coefficient of G; infinite switches it off. Any finite cap turns the rule into plain GD in the
    /// end.
    double cap = std::numeric_limits<double>::infinity();
  };
  static constexpr const char* formula = "W -= min((L-L*)/(c |G|^2), cap) G";
  static constexpr const char* source = "arXiv 2402.05738, Polyak step size";
  static std::vector<Field<Settings>> fields() {
    return {{"factor", &Settings::factor, Range::positive, false, "c"},
            {"cap", &Settings::cap, Range::positive, true, "largest coefficient of G; inf: none"}};
  }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&, RuleState&) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::gap_not_positive, 0.0, at.gradient, 0.0};
    const double scale = capped(polyak_coefficient(at, settings.factor), settings.cap, at.gradient_exponent);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
