#pragma once

#include <cstddef>
#include <vector>

#include "core/step_rules/along_mean.h"
#include "core/step_rules/polar.h"

namespace softstep::rules {

/// Muon with the exact polar factor: M = beta M + (1 - beta) G, W -= eta_t U V^T of M = U S V^T, singular
/// values that are rounding counted as zero (polar.h). This is the rule of C. Fan, M. Schmidt, C.
/// Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025, without
/// Nesterov's term and without Newton-Schulz steps; `muon` has both.
struct ExactMuon : AlongMean<ExactMuon> {
  static constexpr double default_step_size = 0.02;
  static constexpr const char* formula = "W -= eta_t U V^T of M = U S V^T, M = beta M + (1-beta) G";
  static constexpr const char* source = "Muon with an exact polar factor; arXiv 2502.04664";
  static constexpr const char *mean_name = "muon_exact.mean", *exponent_name = "muon_exact.exponent";

  template <class T>
  static void turn(std::vector<double>& m, std::size_t n_rows, std::size_t n_cols) {
    polar_factor<T>(m, n_rows, n_cols);
  }
};

}  // namespace softstep::rules
