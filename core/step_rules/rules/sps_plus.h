#pragma once

#include "core/step_rules/coefficients.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// SPS+: the Polyak step with c = 1 on a mini-batch; none where its loss is below L* already. Source: G.
/// Garrigos, R. Gower, F. Schaipp, Function Value Learning: Adaptive Learning Rates Based on the Polyak
/// Stepsize and Function Splitting in ERM, 2023.
struct StochasticPolyakPlus {
  struct Settings {};
  static constexpr const char* formula = "W -= max(L-L*, 0)/|G|^2 G, L and G of a mini-batch";
  static constexpr const char* source = "Garrigos, Gower, Schaipp 2023, SPS+";
  static std::vector<Field<Settings>> fields() { return {}; }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = true;

  template <class T>
  static Step<T> propose(const Settings&, const StepContext<T>& at, const RuleState&, RuleState&) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::moved, 0.0, at.gradient, 0.0};
    const double scale = polyak_coefficient(at, 1.0);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
