#pragma once

#include "core/step_rules/polar.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Steepest descent in the spectral norm, W -= eta_t U V^T of the singular value decomposition G = U S V^T:
/// eta_t is the largest singular value of the change; what is rounding counts as zero (polar.h). Source: C.
/// Fan, M. Schmidt, C. Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable
/// Data, 2025.
struct SpectralDescent {
  struct Settings {
    /// eta > 0.
    double step_size = 1.0;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
  };
  static constexpr const char* formula = "W -= eta_t U V^T of G = U S V^T, eta_t = eta (t+1)^-a";
  static constexpr const char* source = "steepest descent in the spectral norm; arXiv 2502.04664";
  static std::vector<Field<Settings>> fields() { return schedule_fields<Settings>(); }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState&,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& direction = next.direction;
    direction.assign(at.gradient, at.gradient + size);
    polar_factor<T>(direction, at.n_rows, at.n_cols);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), size}),
            direction.data()};
  }
};

}  // namespace softstep::rules
