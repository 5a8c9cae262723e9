#pragma once

#include "core/step_rules/settings.h"

namespace softstep::rules {

/// Steepest descent in the max norm, W -= eta_t sign(G), sign(0) = 0: eta_t is the largest change of an
/// entry. Source: C. Fan, M. Schmidt, C. Thrampoulidis, Implicit Bias of Spectral Descent and Muon on
/// Multiclass Separable Data, 2025 (and its predecessors for linear models).
struct SignDescent {
  struct Settings {
    /// eta > 0.
    double step_size = 0.01;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
  };
  static constexpr const char* formula = "W -= eta_t sign(G), eta_t = eta (t+1)^-a";
  static constexpr const char* source = "steepest descent in the max norm; arXiv 2502.04664";
  static std::vector<Field<Settings>> fields() { return schedule_fields<Settings>(); }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    next.direction.resize(size);
    double n_nonzero = 0.0;
    for (std::size_t k = 0; k < size; ++k) {
      const double sign = at.gradient[k] > T(0) ? 1.0 : at.gradient[k] < T(0) ? -1.0 : 0.0;
      next.direction[k] = sign;
      n_nonzero += sign * sign;
    }
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * std::sqrt(n_nonzero), next.direction.data()};
  }
};

}  // namespace softstep::rules
