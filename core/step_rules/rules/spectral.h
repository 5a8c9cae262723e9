#pragma once

#include <limits>

#include "core/linalg/svd.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Steepest descent in the spectral norm, W -= eta_t U V^T of the singular value decomposition G = U S V^T:
/// eta_t is the largest singular value of the change. Singular values up to max(n_rows, n_cols) epsilon s_1,
/// epsilon that of the gradient's type, are rounding and count as zero. Source: C. Fan, M. Schmidt, C.
/// Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025.
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
    const std::size_t size = at.n_rows * at.n_cols, k = std::min(at.n_rows, at.n_cols);
    std::vector<double>& direction = next.direction;
    direction.assign(at.gradient, at.gradient + size);
    const Svd svd = singular_values_and_vectors(direction.data(), at.n_rows, at.n_cols);
    const double rounding = static_cast<double>(std::max(at.n_rows, at.n_cols)) *
                            static_cast<double>(std::numeric_limits<T>::epsilon()) * svd.s[0];
    std::size_t rank = 0;
    while (rank < k && svd.s[rank] > rounding) ++rank;
    for (std::size_t r = 0; r < at.n_rows; ++r)
      for (std::size_t c = 0; c < at.n_cols; ++c) {
        double sum = 0.0;
        for (std::size_t j = 0; j < rank; ++j) sum += svd.u[r * k + j] * svd.v[c * k + j];
        direction[r * at.n_cols + c] = sum;
      }
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), size}),
            direction.data()};
  }
};

}  // namespace softstep::rules
