#pragma once

#include "core/step_rules/coefficients.h"
#include "core/step_rules/memory.h"
#include "core/step_rules/settings.h"
#include "softstep/metrics.h"

namespace softstep::rules {

/// Adam: means m of G and v of G^2, entry by entry, corrected for their start; W -= eta_t m / (sqrt(v) +
/// eps), 0/0 := 0. m and sqrt(v) share one exponent, so that with eps = 0 nothing underflows and steps go on
/// at any size of the gradient; sqrt(v) is kept in place of v, whose exponents are twice as far apart. eps >
/// 0 is compared with the true size. Source: D. P. Kingma, J. Ba, Adam, ICLR 2015.
struct Adam {
  struct Settings {
    /// eta > 0: about the largest change of an entry.
    double step_size = 0.001;
    /// a >= 0 in eta_t = eta (t+1)^-a.
    double schedule_power = 0.0;
    double beta1 = 0.9, beta2 = 0.999;
    /// Any positive eps turns the rule into gradient descent with momentum in the end.
    double eps = 0.0;
  };
  static constexpr const char* formula = "W -= eta_t m/(sqrt(v) + eps), m and v means of G and G^2, 0/0 := 0";
  static constexpr const char* source = "Kingma, Ba 2015, arXiv 1412.6980";
  static std::vector<Field<Settings>> fields() {
    return schedule_fields<Settings>(
        {{"beta1", &Settings::beta1, Range::fraction, false, "what stays of the mean of G"},
         {"beta2", &Settings::beta2, Range::fraction, false, "what stays of the mean of G^2"},
         {"eps", &Settings::eps, Range::non_negative, false, "added to the root of the mean of G^2"}});
  }
  static std::vector<RuleMemory> memory() {
    return {{"adam.mean"}, {"adam.root_mean_square"}, {"adam.exponent", 1}, {"adam.steps", 1}};
  }
  static constexpr bool needs_loss_gap = false;
  static constexpr bool moves_along_gradient = false;

  template <class T>
  static Step<T> propose(const Settings& settings, const StepContext<T>& at, const RuleState& memory,
                         RuleState& next) {
    const std::size_t size = at.n_rows * at.n_cols;
    std::vector<double>& mean = remembered(memory, next, "adam.mean", size);
    std::vector<double>& root = remembered(memory, next, "adam.root_mean_square", size);
    double& exponent = remembered(memory, next, "adam.exponent", 1)[0];
    double& count = remembered(memory, next, "adam.steps", 1)[0];
    const double keep_root = std::sqrt(settings.beta2), take_root = std::sqrt(1.0 - settings.beta2);
    scale(mean, settings.beta1);
    scale(root, keep_root);
    const double unit =
        onto_common_exponent({&mean, &root}, exponent, at.gradient_exponent, at.gradient_norm);
    count += 1.0;
    const double mean_weight = -std::expm1(count * std::log(settings.beta1));
    const double root_weight = std::sqrt(-std::expm1(count * std::log(settings.beta2)));
    const double eps = settings.eps == 0.0 ? 0.0 : times_exp(settings.eps, -exponent);
    next.direction.resize(size);
    // Pointers and selects, so that the loop becomes one of vectors.
    double *const m = mean.data(), *const r = root.data(), *const direction = next.direction.data();
    const T* const gradient = at.gradient;
    const double norm = at.gradient_norm, take_mean = 1.0 - settings.beta1;
    for (std::size_t k = 0; k < size; ++k) {
      const double g = static_cast<double>(gradient[k]) / norm * unit;
      m[k] += take_mean * g;
      r[k] = hypotenuse(r[k], take_root * std::fabs(g));
      const double denominator = r[k] / root_weight + eps;
      const double ratio = m[k] / mean_weight / (denominator == 0.0 ? 1.0 : denominator);
      direction[k] = denominator == 0.0 ? 0.0 : ratio;
    }
    const double eta = scheduled(settings.step_size, settings.schedule_power, at.iteration);
    return {Step<T>::Outcome::moved, eta, nullptr, eta * frobenius_norm({next.direction.data(), size}),
            next.direction.data()};
  }

 private:
  // sqrt(a^2 + b^2) for a, b >= 0, without squaring what is small.
  static double hypotenuse(double a, double b) {
    const double larger = a < b ? b : a, smaller = a < b ? a : b;
    const double ratio = smaller / (larger == 0.0 ? 1.0 : larger);
    return larger * std::sqrt(1.0 + ratio * ratio);
  }
};

}  // namespace softstep::rules
