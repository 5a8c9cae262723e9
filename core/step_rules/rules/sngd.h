#pragma once

#include "core/step_rules/rules/ngd.h"

namespace softstep::rules {

/// Normalised gradient descent on the gradient of a mini-batch: ngd, to the bit. Source: E. Hazan, K. Levy,
/// S. Shalev-Shwartz, Beyond Convexity: Stochastic Quasi-Convex Optimization, 2015; arXiv 2402.05738.
struct StochasticNormalizedGradientDescent : NormalizedGradientDescent {
  static constexpr const char* formula = "W -= eta_t G/|G|, eta_t = eta (t+1)^-a, G of a mini-batch";
  static constexpr const char* source = "Hazan, Levy, Shalev-Shwartz 2015, SNGD; arXiv 2402.05738";
};

}  // namespace softstep::rules
