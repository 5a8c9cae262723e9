#pragma once

#include <cstddef>
#include <vector>

#include "core/step_rules/along_mean.h"

namespace softstep::rules {

/// Sign descent with momentum: M = beta M + (1 - beta) G, W -= eta_t sign(M), sign(0) = 0. Source: C. Fan, M.
/// Schmidt, C. Thrampoulidis, Implicit Bias of Spectral Descent and Muon on Multiclass Separable Data, 2025;
/// J. Bernstein and others, signSGD, ICML 2018.
struct Signum : AlongMean<Signum> {
  static constexpr double default_step_size = 0.01;
  static constexpr const char* formula = "W -= eta_t sign(M), M = beta M + (1-beta) G";
  static constexpr const char* source = "Bernstein et al. 2018, Signum; arXiv 2502.04664";
  static constexpr const char *mean_name = "signum.mean", *exponent_name = "signum.exponent";

  template <class T>
  static void turn(std::vector<double>& m, std::size_t, std::size_t) {
    for (double& x : m) x = x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
  }
};

}  // namespace softstep::rules
