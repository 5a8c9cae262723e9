#pragma once

#include <limits>

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Progressive rescaling: `warm-up` steps W -= eta G/(L - L*); then in turn a rescaling of W to the next
/// radius R (growth times the last) and `phase` of these steps, each projected to the ball of radius R. R
/// grows exponentially, so that a run of thousands of steps ends as not_finite unless `largest-radius` stops
/// it. Experimental: the rate of the source is for linear models. Source: M. Wang, Z. Min, L. Wu, Achieving
/// Margin Maximization Exponentially Fast via Progressive Norm Rescaling, ICML 2024.
struct ProgressiveRescaling {
  struct Settings {
    double step_size = 1.0;
    double warm_up = 100.0;
    double phase = 5.0;
    double growth = 1.2;
    double largest_radius = std::numeric_limits<double>::infinity();
  };
  static constexpr const char* formula =
      "W *= R/|W|, then W = P_R(W - eta G/(L-L*)) phase times, R *= growth";
  static constexpr const char* source = "Wang, Min, Wu 2024, arXiv 2311.14387";
  static constexpr const char* note = "experimental";
  static std::vector<Field<Settings>> fields() {
    return {{"step-size", &Settings::step_size, Range::positive, false, "eta"},
            {"warm-up", &Settings::warm_up, Range::positive_whole, false, "steps before the first rescaling"},
            {"phase", &Settings::phase, Range::positive_whole, false, "projected steps between rescalings"},
            {"growth", &Settings::growth, Range::greater_than_one, false, "of the radius at each rescaling"},
            {"largest-radius", &Settings::largest_radius, Range::positive, true,
             "the radius grows no further; inf: it always does"}};
  }
  static std::vector<RuleMemory> memory() { return {{"prgd.steps", 1}, {"prgd.radius", 1}}; }
  static constexpr bool needs_loss_gap = true;
  static constexpr bool moves_along_gradient = false;

  // What is subtracted is built, not the new W: with weights in double behind the ones seen here, it is these
  // that move.
  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    if (at.loss_gap.mantissa <= 0.0) return {Step<T>::Outcome::gap_not_positive, 0.0, at.gradient, 0.0};
    const std::size_t size = at.n_rows * at.n_cols;
    double& count = remembered(memory, next, "prgd.steps", 1)[0];
    double& radius = remembered(memory, next, "prgd.radius", 1)[0];
    const double place =
        count < settings.warm_up ? -1.0 : std::fmod(count - settings.warm_up, settings.phase + 1.0);
    std::vector<double>& change = next.direction;
    change.resize(size);
    count += 1.0;
    const double norm = frobenius_norm({at.weights, size});
    if (place == 0.0 && norm > 0.0) {
      radius = std::min(settings.growth * std::max(radius, norm), std::max(settings.largest_radius, norm));
      for (std::size_t k = 0; k < size; ++k)
        change[k] = (1.0 - radius / norm) * static_cast<double>(at.weights[k]);
    } else {
      const double scale =
          times_exp(settings.step_size / at.loss_gap.mantissa, at.gradient_exponent - at.loss_gap.exponent);
      std::vector<double> moved(size);
      for (std::size_t k = 0; k < size; ++k) {
        const auto g = static_cast<double>(at.gradient[k]);
        change[k] = g == 0.0 ? 0.0 : scale * g;
        moved[k] = static_cast<double>(at.weights[k]) - change[k];
      }
      const double reached = frobenius_norm({moved.data(), size});
      if (place > 0.0 && reached > radius && std::isfinite(reached))
        for (std::size_t k = 0; k < size; ++k) change[k] += (1.0 - radius / reached) * moved[k];
    }
    return {Step<T>::Outcome::moved, 1.0, nullptr, frobenius_norm({change.data(), size}), change.data()};
  }
};

}  // namespace softstep::rules
