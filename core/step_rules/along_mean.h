#pragma once

#include <cstddef>
#include <vector>

#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Rules along the mean of past gradients, M = beta M + (1 - beta) G. M has an exponent of its own, so that
/// it decays as it should where gradients fall by orders of magnitude; it is known up to a positive factor. A
/// Rule says its default_step_size, the names mean_name and exponent_name of what is remembered, and the
/// direction of its steps: turn<T>(m, n_rows, n_cols) changes M into it.
template <class Rule>
struct AlongMean {
  struct Settings {
    /// eta > 0.
    double step_size = Rule::default_step_size;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    /// beta.
    double beta = 0.9;
  };
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"beta", &Settings::beta, Range::fraction, false, "what stays of the mean of G"}});
  }
  static std::vector<RuleMemory> memory() { return {{Rule::mean_name}, {Rule::exponent_name, 1}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& mean = remembered(memory, next, Rule::mean_name, size);
    double& exponent = remembered(memory, next, Rule::exponent_name, 1)[0];
    scale(mean, settings.beta);
    const double unit = onto_common_exponent({&mean}, exponent, at.gradient_exponent, at.gradient_norm);
    // Pointers, so that the loop becomes one of vectors.
    double* const m = mean.data();
    const T* const gradient = at.gradient;
    const double norm = at.gradient_norm, take = 1.0 - settings.beta;
    for (std::size_t k = 0; k < size; ++k) m[k] += take * (static_cast<double>(gradient[k]) / norm * unit);
    std::vector<double>& direction = next.direction;
    direction = mean;
    Rule::template turn<T>(direction, at.n_rows, at.n_cols);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({direction.data(), size}),
            direction.data()};
  }
};

}  // namespace softstep::rules
