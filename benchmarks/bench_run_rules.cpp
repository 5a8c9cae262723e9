// Steps of runs side by side whose rules compute them entry by entry: sign descent, dual acceleration and
// Adam, in 10 and 60 dimensions.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

enum class Rule { sign, momentum, adam };

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa, Rule rule) {
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
  const auto kernel = rule == Rule::sign       ? kernels.run_sign
                      : rule == Rule::momentum ? kernels.run_momentum
                                               : kernels.run_adam;
  kernel(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < size * w; ++k) {
    const Number g = gradient[k];
    const auto exact = rule == Rule::sign       ? reference::run_sign<Number>(g)
                       : rule == Rule::momentum ? reference::run_momentum<Number>(g, mean[k], keep[0])
                                                : reference::run_adam<Number>(
                                                      g, Number(mean[k]) * keep[0], Number(root[k]) * keep[0],
                                                      take[0], take[0], 1.0L, 1.0L, 0.0L);
    const Number found = next[k], wanted = Number(weights[k]) - Number(step[0]) * exact.direction;
    worst = worse(worst, static_cast<double>(std::fabs(found - wanted)));
  }
  // Weights up to 9 and steps below 0.04, each rounded once, of directions right to a few roundings in
  // double.
  if (!verified(state, worst, 9.04 * unit_roundoff<T> + 64 * 0x1p-53)) return;
  for (auto _ : state) {
    kernel(args);
    benchmark::ClobberMemory();
  }
  const double numbers = rule == Rule::sign ? 0.0 : rule == Rule::momentum ? 2.0 : 4.0;
  const double bytes =
      static_cast<double>(size * w) * ((keeps ? 5.0 : 3.0) * sizeof(T) + numbers * sizeof(double));
  count(state, {0.0, 0.0, bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  const auto enlist_rule = [](const char* kernel, Rule rule) {
    for_each_kernel_variant(kernel, [rule]<class T>(const simd::Isa& isa, const std::string& name) {
      enlist(name, [&isa, rule](benchmark::State& s) { measure<T>(s, isa, rule); })
          ->ArgName("dim")
          ->Arg(10)
          ->Arg(60);
    });
  };
  enlist_rule("run_sign", Rule::sign);
  enlist_rule("run_momentum", Rule::momentum);
  enlist_rule("run_adam", Rule::adam);
  return true;
}();

}  // namespace
}  // namespace softstep::bench
