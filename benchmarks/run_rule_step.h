#pragma once

// Steps of runs side by side whose rules compute them entry by entry, in 10 and 60 dimensions: what the
// benchmarks of run_descent, run_sign, run_momentum and run_adam share.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {

/// What becomes of an entry: exact(g, mean, root, keep, take), with shares of 1 and no eps.
using ExactEntry = reference::RunEntry<long double> (*)(long double, long double, long double, long double,
                                                        long double);

/// `kernel`: one of the table; `numbers`: of double that it reads and writes by entry.
template <class T, class Kernel>
void measure_run_rule(benchmark::State& state, const simd::Isa& isa, Kernel kernel, ExactEntry exact_of,
                      double numbers) {
  using Number = long double;
  const auto& kernels = isa.kernels<T>();
  const auto dim = static_cast<std::size_t>(state.range(0));
  const std::size_t w = kernels.vector_width, size = dim * dim;
  const std::vector<T> gradient = uniform<T>(size * w), weights = uniform<T>(size * w, -9, 9, 2),
                       remainder(size * w, T(0));
  const std::vector<double> mean = uniform<double>(size * w, -1, 1, 3),
                            root = uniform<double>(size * w, 1, 2, 4), one(w, 1.0), step(w, 0.01),
                            eps(w, 0.0), keep(w, 0.9), take(w, 0.1);
  std::vector<T> next(size * w), next_remainder(size * w);
  std::vector<double> next_mean(size * w), next_root(size * w), squared(w), largest_mean(w), largest_root(w);
  const bool keeps = sizeof(T) == sizeof(float);
  const simd::RunRuleArgs<T> args{.size = size,
                                  .gradient = gradient.data(),
                                  .weights = weights.data(),
                                  .remainder = keeps ? remainder.data() : nullptr,
                                  .next_weights = next.data(),
                                  .next_remainder = next_remainder.data(),
                                  .step = step.data(),
                                  .unit = one.data(),
                                  .unit_again = one.data(),
                                  .squared = squared.data(),
                                  .mean = mean.data(),
                                  .root = root.data(),
                                  .next_mean = next_mean.data(),
                                  .next_root = next_root.data(),
                                  .keep_mean = keep.data(),
                                  .keep_root = keep.data(),
                                  .rescale = one.data(),
                                  .take_mean = take.data(),
                                  .take_root = take.data(),
                                  .mean_share = one.data(),
                                  .root_share = one.data(),
                                  .eps = eps.data(),
                                  .largest_mean = largest_mean.data(),
                                  .largest_root = largest_root.data()};
  const auto step_of = kernels.*kernel;
  step_of(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < size * w; ++k) {
    const auto exact = exact_of(gradient[k], mean[k], root[k], keep[0], take[0]);
    const Number found = next[k], wanted = Number(weights[k]) - Number(step[0]) * exact.direction;
    worst = worse(worst, static_cast<double>(std::fabs(found - wanted)));
  }
  // Weights up to 9 and steps below 0.04, each rounded once, of directions right to a few roundings in
  // double.
  if (!verified(state, worst, 9.04 * unit_roundoff<T> + 64 * 0x1p-53)) return;
  for (auto _ : state) {
    step_of(args);
    benchmark::ClobberMemory();
  }
  const double bytes =
      static_cast<double>(size * w) * ((keeps ? 5.0 : 3.0) * sizeof(T) + numbers * sizeof(double));
  count(state, {0.0, 0.0, bytes, read_bandwidth(level_of(bytes))});
}

/// The variants of one kernel; kernel_of.operator()<T>() is it in the table of T.
template <class KernelOf>
bool enlist_run_rule(const std::string& name, KernelOf kernel_of, ExactEntry exact_of, double numbers) {
  for_each_kernel_variant(name, [=]<class T>(const simd::Isa& isa, const std::string& label) {
    enlist(label,
           [=, &isa](benchmark::State& s) {
             measure_run_rule<T>(s, isa, kernel_of.template operator()<T>(), exact_of, numbers);
           })
        ->ArgName("dim")
        ->Arg(10)
        ->Arg(60);
  });
  return true;
}

}  // namespace softstep::bench
