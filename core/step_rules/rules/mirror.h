#pragma once

#include <limits>

#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Mirror descent with the potential |W|_p^p / p: theta = sign(W) |W|^(p-1), theta -= eta_t G/|G|_q, 1/p +
/// 1/q = 1, and back. theta is remembered. p = 2 is ngd. Source: H. Sun, K. Ahn, C. Thrampoulidis, N. Azizan,
/// Mirror Descent Maximizes Generalized Margin and Can Be Implemented Efficiently, NeurIPS 2022; for
/// attention: A. D. Julistiono, D. A. Tarzanagh, N. Azizan, Optimizing Attention with Mirror Descent, 2024.
struct MirrorDescent {
  struct Settings {
    /// p > 1.
    double p = 3.0;
    /// eta > 0: length, in the q-norm, of the step of theta.
    double step_size = 1.0;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
  };
  static constexpr const char* formula =
      "theta -= eta_t G/|G|_q, W = sign(theta) |theta|^(1/(p-1)), 1/p + 1/q = 1";
  static constexpr const char* source = "Sun et al. 2022, p-GD; Julistiono et al. 2024, l_p-AttGD";
  static std::vector<Field<Settings>> fields() {
    return {{"p", &Settings::p, Range::greater_than_one, false, "of the l_p norm"},
            {"step-size", &Settings::step_size, Range::positive, false, "eta"},
            {"schedule-power", &Settings::schedule_power, Range::non_negative, false, "a"}};
  }
  static std::vector<RuleMemory> memory() { return {{"mirror.theta"}}; }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    const double power = settings.p - 1.0;
    std::vector<double>& theta = remembered(memory, next, "mirror.theta", size);
    std::vector<double>& w = next.direction;
    w.resize(size);
    if (!is_image(memory.direction, at)) {  // after a resumption, or at the start
      for (std::size_t k = 0; k < size; ++k) w[k] = signed_power(theta[k], 1.0 / power);
      if (!is_image(w, at))  // the weights have been set to others
        for (std::size_t k = 0; k < size; ++k)
          theta[k] = signed_power(static_cast<double>(at.weights[k]), power);
    }
    const double norm = dual_norm(at, settings.p / power);
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    std::vector<double> change(size);
    for (std::size_t k = 0; k < size; ++k) {
      theta[k] -= eta * (static_cast<double>(at.gradient[k]) / norm);
      w[k] = signed_power(theta[k], 1.0 / power);
      change[k] = w[k] - static_cast<double>(at.weights[k]);
    }
    return {Step<T>::Outcome::moved, 1.0, nullptr, frobenius_norm({change.data(), size}), w.data(), true};
  }

 private:
  static double signed_power(double x, double exponent) {
    return exponent == 1.0 ? x : std::copysign(std::pow(std::fabs(x), exponent), x);
  }
  // W is what was asked for last, rounded.
  template <class T>
  static bool is_image(const std::vector<double>& w, const StepContext<T>& at) {
    if (w.size() != at.n_rows * at.n_cols) return false;
    for (std::size_t k = 0; k < w.size(); ++k)
      if (static_cast<T>(w[k]) != at.weights[k]) return false;
    return true;
  }
  template <class T>
  static double dual_norm(const StepContext<T>& at, double q) {
    double largest = 0.0, sum = 0.0;
    const std::size_t size = at.n_rows * at.n_cols;
    for (std::size_t k = 0; k < size; ++k)
      largest = std::max(largest, std::fabs(static_cast<double>(at.gradient[k])));
    for (std::size_t k = 0; k < size; ++k)
      sum += std::pow(std::fabs(static_cast<double>(at.gradient[k])) / largest, q);
    return largest * std::pow(sum, 1.0 / q);
  }
};

}  // namespace softstep::rules
