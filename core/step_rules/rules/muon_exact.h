#pragma once

#include "core/step_rules/memory.h"
#include "core/step_rules/polar.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Muon with the exact polar factor: M = beta M + (1 - beta) G, W -= eta_t U V^T of M = U S V^T, singular
/// values that are rounding counted as zero (polar.h). This is the rule of C. Fan, M. Schmidt, C.
/// Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025, without
/// Nesterov's term and without Newton-Schulz steps; `muon` has both.
struct ExactMuon {
  struct Settings {
    /// eta > 0.
    double step_size = 0.02;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    /// beta.
    double beta = 0.9;
  };
  static constexpr const char* formula = "W -= eta_t U V^T of M = U S V^T, M = beta M + (1-beta) G";
  static constexpr const char* source = "Muon with an exact polar factor; arXiv 2502.04664";
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"beta", &Settings::beta, Range::fraction, false, "what stays of the mean of G"}});
  }
  static std::vector<RuleMemory> memory() { return {{"muon_exact.mean"}, {"muon_exact.exponent", 1}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::vector<double>& mean =
        mean_gradient(at, settings.beta, "muon_exact.mean", "muon_exact.exponent", memory, next);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    std::vector<double>& direction = next.direction;
    direction = mean;
    polar_factor<T>(direction, at.n_rows, at.n_cols);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), direction.size()}),
            direction.data()};
  }
};

}  // namespace softstep::rules
