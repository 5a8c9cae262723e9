#pragma once

#include "core/step_rules/rules/polyak.h"

namespace softstep::rules {

/// SPS_max, the stochastic Polyak step size: polyak on gap and gradient of a mini-batch, to the bit and with
/// its defaults, bounded by `cap` (the source's gamma_b; infinite: no bound). Source: N. Loizou, S. Vaswani,
/// I. Laradji, S. Lacoste-Julien, Stochastic Polyak Step-size for SGD, AISTATS 2021.
struct StochasticPolyakStep : PolyakStep {
  static constexpr const char* formula = "W -= min((L-L*)/(c |G|^2), cap) G, L and G of a mini-batch";
  static constexpr const char* source = "Loizou et al. 2021, SPS_max";
};

}  // namespace softstep::rules
