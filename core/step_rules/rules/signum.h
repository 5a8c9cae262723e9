#pragma once

#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Sign descent with momentum: M = beta M + (1 - beta) G, W -= eta_t sign(M), sign(0) = 0. The mean has an
/// exponent of its own, so that it decays as it should where gradients fall by orders of magnitude. Source:
/// C. Fan, M. Schmidt, C. Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable
/// Data, 2025; J. Bernstein and others, signSGD, ICML 2018.
struct Signum {
  struct Settings {
    /// eta > 0.
    double step_size = 0.01;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    /// beta.
    double beta = 0.9;
  };
  static constexpr const char* formula = "W -= eta_t sign(M), M = beta M + (1-beta) G";
  static constexpr const char* source = "Bernstein et al. 2018, Signum; arXiv 2502.04664";
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"beta", &Settings::beta, Range::fraction, false, "what stays of the mean of G"}});
  }
  static std::vector<RuleMemory> memory() { return {{"signum.mean"}, {"signum.exponent", 1}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::vector<double>& mean =
        mean_gradient(at, settings.beta, "signum.mean", "signum.exponent", memory, next);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    std::vector<double>& direction = next.direction;
    direction.resize(mean.size());
    for (std::size_t k = 0; k < mean.size(); ++k)
      direction[k] = mean[k] > 0.0 ? 1.0 : mean[k] < 0.0 ? -1.0 : 0.0;
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), direction.size()}),
            direction.data()};
  }
};

}  // namespace softstep::rules
