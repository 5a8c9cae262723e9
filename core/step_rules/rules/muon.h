#pragma once

#include "core/linalg/newton_schulz.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Muon: M = mu M + G, W -= eta_t NS(G + mu M), NS five Newton-Schulz steps that bring the singular values
/// near 1. M has an exponent of its own. Source: K. Jordan and others, Muon: An optimizer for hidden layers
/// in neural networks, 2024.
struct Muon {
  struct Settings {
    /// eta > 0.
    double step_size = 0.02;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    /// mu.
    double momentum = 0.95;
  };
  static constexpr const char* formula = "W -= eta_t NS(G + mu M), M = mu M + G, NS: 5 Newton-Schulz steps";
  static constexpr const char* source = "Jordan et al. 2024, Muon";
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"momentum", &Settings::momentum, Range::fraction, false, "what stays of the sum of gradients"}});
  }
  static std::vector<RuleMemory> memory() { return {{"muon.sum"}, {"muon.exponent", 1}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& sum = remembered(memory, next, "muon.sum", size);
    double& exponent = remembered(memory, next, "muon.exponent", 1)[0];
    scale(sum, settings.momentum);
    const double unit = onto_common_exponent({&sum}, exponent, at.gradient_exponent, at.gradient_norm);
    std::vector<double>& direction = next.direction;
    direction.resize(size);
    for (std::size_t k = 0; k < size; ++k) {
      const double g = static_cast<double>(at.gradient[k]) / at.gradient_norm * unit;
      sum[k] += g;
      direction[k] = g + settings.momentum * sum[k];
    }
    newton_schulz(direction.data(), at.n_rows, at.n_cols);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), size}),
            direction.data()};
  }
};

}  // namespace softstep::rules
