#pragma once

#include <limits>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// MoMo: means of G, L and <G, W> over mini-batches make a linear model of the loss, cut off at L*; the step
/// goes to where it is zero, W -= min(max(h, 0)/|d|^2, cap) d with d the mean gradient and h = f + <d, W> - m
/// the model's value above L*.
///
/// The terms of h cancel to any number of digits. But a step lowers h by its coefficient times |d|^2, and the
/// next gradient makes it beta h + (1 - beta)(L - L*): h is kept, and neither f, m nor W is looked at. h and
/// d have one exponent. Source: F. Schaipp, R. Ohana, M. Eickenberg, A. Defazio, R. Gower, MoMo: Momentum
/// Models for Adaptive Learning Rates, ICML 2024.
struct MomentumModel {
  struct Settings {
    double beta = 0.9;
    /// The source's learning rate.
    double cap = std::numeric_limits<double>::infinity();
  };
  static constexpr const char* formula =
      "W -= min(max(f + <d,W> - m, 0)/|d|^2, cap) d; d, f, m means of G, L-L*, <G,W>";
  static constexpr const char* source = "Schaipp et al. 2024, MoMo";
  static constexpr const char* note =
      "the source measures the loss from a lower bound: optimal_loss zero, or the optimum if known";
  static std::vector<Field<Settings>> fields() {
    return {{"beta", &Settings::beta, Range::fraction, false, "what stays of the means"},
            {"cap", &Settings::cap, Range::positive, true, "largest coefficient of G; inf: none"}};
  }
  static std::vector<RuleMemory> memory() {
    return {{"momo.gradient"}, {"momo.height", 1}, {"momo.exponent", 1}, {"momo.steps", 1}};
  }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& d = remembered(memory, next, "momo.gradient", size);
    std::vector<double>& height = remembered(memory, next, "momo.height", 1);
    double& exponent = remembered(memory, next, "momo.exponent", 1)[0];
    double& count = remembered(memory, next, "momo.steps", 1)[0];
    const double keep = count == 0.0 ? 0.0 : settings.beta;
    scale(d, keep);
    scale(height, keep);
    const double unit = onto_common_exponent({&d, &height}, exponent, at.gradient_exponent, at.gradient_norm);
    for (std::size_t k = 0; k < size; ++k)
      d[k] += (1.0 - keep) * (static_cast<double>(at.gradient[k]) / at.gradient_norm * unit);
    const double gap =
        at.loss_gap.mantissa == 0.0 ? 0.0 : times_exp(at.loss_gap.mantissa, at.loss_gap.exponent - exponent);
    double h = height[0] + (1.0 - keep) * gap;
    const double norm = frobenius_norm({d.data(), size});
    double coefficient = h > 0.0 && norm > 0.0 ? h / norm / norm : 0.0;
    const double largest = times_exp(settings.cap, exponent);
    if (coefficient > largest) {
      coefficient = largest;
      h -= coefficient * norm * norm;
    } else if (coefficient > 0.0) {
      h = 0.0;  // where the model is zero, exactly
    }
    height[0] = h;
    count += 1.0;
    return {Step<T>::Outcome::moved, coefficient, nullptr, coefficient * norm, d.data()};
  }
};

}  // namespace softstep::rules
