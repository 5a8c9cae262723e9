#pragma once

#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Normalised momentum descent, steepest descent in the Frobenius norm with momentum: M = beta M + (1 - beta)
/// G, W -= eta_t M / ||M||_F; no step where M is exactly zero. Source: C. Fan, M. Schmidt, C. Thrampoulidis,
/// Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025 (NMD-GD there).
struct NormalizedMomentumDescent {
  struct Settings {
    /// eta > 0.
    double step_size = 1.0;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    /// beta.
    double beta = 0.9;
  };
  static constexpr const char* formula = "W -= eta_t M/|M|, M = beta M + (1-beta) G";
  static constexpr const char* source = "normalised momentum descent; arXiv 2502.04664";
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"beta", &Settings::beta, Range::fraction, false, "what stays of the mean of G"}});
  }
  static std::vector<RuleMemory> memory() { return {{"nmd.mean"}, {"nmd.exponent", 1}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::vector<double>& mean =
        mean_gradient(at, settings.beta, "nmd.mean", "nmd.exponent", memory, next);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    std::vector<double>& direction = next.direction;
    const double norm = frobenius_norm(mean);
    direction = mean;
    for (double& x : direction) x = norm == 0.0 ? 0.0 : x / norm;
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), direction.size()}),
            direction.data()};
  }
};

}  // namespace softstep::rules
