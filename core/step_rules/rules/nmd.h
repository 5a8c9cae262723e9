#pragma once

#include <cstddef>
#include <vector>

#include "core/step_rules/along_mean.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Normalised momentum descent, steepest descent in the Frobenius norm with momentum: M = beta M + (1 - beta)
/// G, W -= eta_t M / ||M||_F; no step where M is exactly zero. Source: C. Fan, M. Schmidt, C. Thrampoulidis,
/// Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025 (NMD-GD there).
struct NormalizedMomentumDescent : AlongMean<NormalizedMomentumDescent> {
  static constexpr double default_step_size = 1.0;
  static constexpr const char* formula = "W -= eta_t M/|M|, M = beta M + (1-beta) G";
  static constexpr const char* source = "normalised momentum descent; arXiv 2502.04664";
  static constexpr const char *mean_name = "nmd.mean", *exponent_name = "nmd.exponent";

  template <class T>
  static void turn(std::vector<double>& m, std::size_t, std::size_t) {
    const double norm = frobenius_norm(m);
    for (double& x : m) x = norm == 0.0 ? 0.0 : x / norm;
  }
};

}  // namespace softstep::rules
