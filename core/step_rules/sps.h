#pragma once

#include "core/step_rules/polyak.h"

namespace softstep::rules {

/// SPS_max, the stochastic Polyak step size: polyak on gap and gradient of a mini-batch, to the bit, bounded by `cap`
/// (the source's gamma_b; infinite: no bound). Source: N. Loizou, S. Vaswani, I. Laradji, S. Lacoste-Julien, Stochastic
/// Polyak Step-size for SGD, AISTATS 2021.
struct StochasticPolyakStep : PolyakStep {
  struct Settings : PolyakStep::Settings {
    Settings() { factor = 1.0; }
  };
  static constexpr const char* formula = "W -= min((L-L*)/(c |G|^2), cap) G, L and G of a mini-batch";
  static constexpr const char* source = "Loizou et al. 2021, SPS_max";
  static std::vector<Field<Settings>> fields() {
    return {{"factor", &Settings::factor, Range::positive, false, "c"},
            {"cap", &Settings::cap, Range::positive, true, "largest coefficient of G; inf: none"}};
  }
};

}  // namespace softstep::rules
