#pragma once

#include <limits>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"

namespace softstep::rules {

/// DecSPS: step sizes g_t = min((L - L*)/|G|^2, c_{t-1} g_{t-1}) / c_t, c_t = c sqrt(t+1), on a mini-batch;
/// c_{-1} = c, g_{-1} = cap (infinite: none). c_t g_t never grows, so the rule ends as gradient descent with
/// eta_t ~ t^-1/2. Source: A. Orvieto, S. Lacoste-Julien, N. Loizou, Dynamics of SGD with Stochastic Polyak
/// Stepsizes, NeurIPS 2022.
struct DecreasingPolyakStep {
  struct Settings {
    /// c > 0.
    double factor = 1.0;
    /// The source's gamma_b.
    double cap = std::numeric_limits<double>::infinity();
  };
  static constexpr const char* formula =
      "W -= b_t/(c sqrt(t+1)) G, b_t = min((L-L*)/|G|^2, b_{t-1}), b_{-1} = c cap";
  static constexpr const char* source = "Orvieto, Lacoste-Julien, Loizou 2022, DecSPS";
  static std::vector<Field<Settings>> fields() {
    return {{"factor", &Settings::factor, Range::positive, false, "c"},
            {"cap", &Settings::cap, Range::positive, true, "largest coefficient of G; inf: none"}};
  }
  static std::vector<RuleMemory> memory() { return {{"decsps.bound", 2}}; }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = true;

  // b_t is remembered as {mantissa, exponent}, the exponent that of the gradient it was made of, with the
  // sign turned.
  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::gap_not_positive, 0.0, at.gradient, 0.0};
    const bool first = memory.values.count("decsps.bound") == 0;
    std::vector<double>& bound = remembered(memory, next, "decsps.bound", 2);
    if (first) bound = {settings.factor * settings.cap, 0.0};
    // On G': b_t e^C, which loses no digits to the exponents.
    const double polyak = polyak_coefficient(at, 1.0);
    const double before =
        std::isinf(bound[0]) ? bound[0] : times_exp(bound[0], at.gradient_exponent + bound[1]);
    double scale = before;
    if (polyak < before) {
      scale = polyak;
      bound = {polyak, -at.gradient_exponent};
    }
    scale /= settings.factor * std::sqrt(static_cast<double>(at.iteration) + 1.0);
    return {Step<T>::Outcome::moved, scale, at.gradient, scale * at.gradient_norm};
  }
};

}  // namespace softstep::rules
