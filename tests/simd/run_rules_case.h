#pragma once

// A step of runs side by side whose rule computes it entry by entry, for the kernels run_descent, run_sign,
// run_adam and run_momentum, in arrays that end at a protected page.

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "core/reference/kernels.h"
#include "simd/dispatch.h"
#include "support/guarded.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

enum class RunRule { descent, sign, momentum, adam };

template <class T>
struct RunRulesCase {
  const std::size_t size, width;
  const bool keeps_remainder;
  Guarded<T> gradient, weights, remainder, next_weights, next_remainder;
  Guarded<double> mean, root, next_mean, next_root;
  Guarded<double> step, unit, unit_again, keep_mean, keep_root, rescale, take_mean, take_root, mean_share,
      root_share, eps, squared, largest_mean, largest_root;

  /// `spread`: of the sizes of gradients and what is remembered, as powers of ten below 1.
  RunRulesCase(const simd::Isa& isa, std::size_t n_entries, bool with_remainder, double spread,
               std::mt19937_64& random)
      : size(n_entries),
        width(isa.kernels<T>().vector_width),
        keeps_remainder(with_remainder),
        gradient(size * width),
        weights(size * width),
        remainder(with_remainder ? size * width : 0),
        next_weights(size * width),
        next_remainder(with_remainder ? size * width : 0),
        mean(size * width),
        root(size * width),
        next_mean(size * width),
        next_root(size * width),
        step(width),
        unit(width),
        unit_again(width),
        keep_mean(width),
        keep_root(width),
        rescale(width),
        take_mean(width),
        take_root(width),
        mean_share(width),
        root_share(width),
        eps(width),
        squared(width),
        largest_mean(width),
        largest_root(width) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    const auto number = [&] { return 2.0 * uniform(random) - 1.0; };
    const auto spread_number = [&] { return number() * std::pow(10.0, -spread * uniform(random)); };
    for (std::size_t k = 0; k < size * width; ++k) {
      // Zeros are among them, some with a memory of zero.
      const bool is_zero = random() % 9 == 0, has_memory = random() % 3 != 0;
      gradient[k] = is_zero ? T(0) : static_cast<T>(spread_number());
      weights[k] = static_cast<T>(10.0 * number());
      if (with_remainder) remainder[k] = static_cast<T>(1e-8 * number());
      mean[k] = has_memory ? spread_number() : 0.0;
      root[k] = has_memory ? std::fabs(mean[k]) + std::fabs(spread_number()) : 0.0;
    }
    for (std::size_t r = 0; r < width; ++r) {
      step[r] = 0.01 + uniform(random);
      unit[r] = 0.1 + uniform(random);
      unit_again[r] = r % 3 == 0 ? 1.0 : 0.5 + uniform(random);
      keep_mean[r] = r % 5 == 4 ? 0.0 : 0.9 * uniform(random);
      keep_root[r] = 0.9 + 0.0999 * uniform(random);
      rescale[r] = r % 4 == 0 ? std::exp(-25.0) : 1.0;
      take_mean[r] = 1.0 - keep_mean[r];
      take_root[r] = std::sqrt(1.0 - keep_root[r] * keep_root[r]);
      mean_share[r] = 1.0 + uniform(random);
      root_share[r] = 1.0 + 10.0 * uniform(random);
      eps[r] = r % 2 == 0 ? 0.0 : 1e-3 * uniform(random);
    }
  }

  void run(RunRule rule, const simd::Kernels<T>& kernels) {
    const simd::RunRuleArgs<T> args{.size = size,
                                    .gradient = gradient.data(),
                                    .weights = weights.data(),
                                    .remainder = keeps_remainder ? remainder.data() : nullptr,
                                    .next_weights = next_weights.data(),
                                    .next_remainder = next_remainder.data(),
                                    .step = step.data(),
                                    .unit = unit.data(),
                                    .unit_again = unit_again.data(),
                                    .squared = squared.data(),
                                    .mean = mean.data(),
                                    .root = root.data(),
                                    .next_mean = next_mean.data(),
                                    .next_root = next_root.data(),
                                    .keep_mean = keep_mean.data(),
                                    .keep_root = keep_root.data(),
                                    .rescale = rescale.data(),
                                    .take_mean = take_mean.data(),
                                    .take_root = take_root.data(),
                                    .mean_share = mean_share.data(),
                                    .root_share = root_share.data(),
                                    .eps = eps.data(),
                                    .largest_mean = largest_mean.data(),
                                    .largest_root = largest_root.data()};
    (rule == RunRule::descent    ? kernels.run_descent
     : rule == RunRule::sign     ? kernels.run_sign
     : rule == RunRule::momentum ? kernels.run_momentum
                                 : kernels.run_adam)(args);
  }

  /// What becomes of entry k of a run, and how far each may be off (simd/kernels/run_adam.h, run_momentum.h).
  struct Expected {
    reference::RunEntry<long double> exact, error;
  };
  Expected expected(RunRule rule, std::size_t at) const {
    using Number = long double;
    using std::fabs;
    const std::size_t r = at % width;
    constexpr Number u = 0x1p-53L;
    const Number g = Number(gradient[at]) * Number(unit[r]) * Number(unit_again[r]);
    if (rule == RunRule::descent) return {reference::run_descent<Number>(g), {0, 0, 2 * u * fabs(g)}};
    if (rule == RunRule::sign) return {reference::run_sign<Number>(g), {0, 0, 0}};
    if (rule == RunRule::momentum) {
      const Number error = 5 * u * (fabs(Number(mean[at])) + 2 * fabs(g));
      return {reference::run_momentum<Number>(g, mean[at], keep_mean[r]), {error, 0, error}};
    }
    const Number mean_left = Number(mean[at]) * Number(keep_mean[r]) * Number(rescale[r]);
    const Number root_left = Number(root[at]) * Number(keep_root[r]) * Number(rescale[r]);
    const auto exact = reference::run_adam<Number>(g, mean_left, root_left, take_mean[r], take_root[r],
                                                   mean_share[r], root_share[r], eps[r]);
    const Number terms = fabs(mean_left) + fabs(Number(take_mean[r]) * g);
    const Number below = exact.root * Number(root_share[r]) + Number(eps[r]);
    return {
        exact,
        {5 * u * terms, 8 * u * exact.root, below > 0 ? 13 * u * terms * Number(mean_share[r]) / below : 0}};
  }

  /// Makes everything of the other runs NaN.
  void spoil_all_but(std::size_t run_kept) {
    const auto spoil = [&](auto& array) {
      for (std::size_t k = 0; k < array.size(); ++k)
        if (k % width != run_kept)
          array[k] = std::numeric_limits<std::decay_t<decltype(array[k])>>::quiet_NaN();
    };
    for (Guarded<T>* array : {&gradient, &weights, &remainder}) spoil(*array);
    for (Guarded<double>* array : {&mean, &root, &step, &unit, &unit_again, &keep_mean, &keep_root, &rescale,
                                   &take_mean, &take_root, &mean_share, &root_share, &eps})
      spoil(*array);
  }
};

}  // namespace softstep::test
