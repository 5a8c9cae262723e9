#pragma once

#include <limits>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// ALI-G: W -= min(L/(|G|^2 + delta), cap) G with the loss of a mini-batch measured from zero. delta is
/// compared with the true size of |G|^2 and is 0 unless given. Source: L. Berrada, A. Zisserman, M. P. Kumar,
/// Training Neural Networks for and by Interpolation, ICML 2020.
struct AliG {
  struct Settings {
    /// The source's eta; any finite cap, and any positive delta, turns the rule into gradient descent in the
    /// end.
    double cap = std::numeric_limits<double>::infinity();
    double delta = 0.0;
  };
  static constexpr const char* formula = "W -= min((L-L*)/(|G|^2 + delta), cap) G, L and G of a mini-batch";
  static constexpr const char* source = "Berrada, Zisserman, Kumar 2020, ALI-G";
  static constexpr const char* note = "the source measures the loss from zero: optimal_loss zero";
  static std::vector<Field<Settings>> fields() {
    return {{"cap", &Settings::cap, Range::positive, true, "largest coefficient of G; inf: none"},
            {"delta", &Settings::delta, Range::non_negative, false, "added to |G|^2"}};
  }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&, RuleState&) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::gap_not_positive, 0.0, at.gradient, 0.0};
    // On G': gap e^(E - C) / (|G'|^2 + delta e^-2C), divided twice so that |G'|^2 is never formed.
    const double delta = settings.delta == 0.0
                             ? 0.0
                             : times_exp(settings.delta, -2.0 * at.gradient_exponent) / at.gradient_norm;
    const double scale =
        capped(times_exp(at.loss_gap.mantissa / at.gradient_norm / (at.gradient_norm + delta),
                         at.loss_gap.exponent - at.gradient_exponent),
               settings.cap, at.gradient_exponent);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
