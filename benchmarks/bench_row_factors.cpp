// The factors of n gradient rows: three exponentials and a quotient each.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::vector<T> exponent = uniform<T>(n, -20, 0, 1), mean_gap = uniform<T>(n, -1, 0, 2), zero(n, T(0)),
                       ones(n, T(1)), score = uniform<T>(n, 0, 5, 3), inverse(n, T(1) / static_cast<T>(n));
  std::vector<T> scale(n), factor(n), size(n);
  const simd::RowFactorsArgs<T> args{n,           true,           exponent.data(), mean_gap.data(),
                                     zero.data(), ones.data(),    ones.data(),     score.data(),
                                     zero.data(), inverse.data(), scale.data(),    factor.data(),
                                     size.data()};
  const auto& kernels = isa.kernels<T>();
  const long double top = kernels.row_factors(args);
  double worst = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double c = exponent[i];
    const auto exact = reference::row_factors<long double>(true, score[i], 0.0L, std::exp(c) * mean_gap[i]);
    const long double expected = -std::exp(exact.log_slope + c - top) / static_cast<long double>(n);
    worst = worse(worst, static_cast<double>(std::fabs(factor[i] * scale[i] / expected - 1)));
  }
  // Exponents to 30 in all, each rounded a few times (simd/kernels/row_factors.h).
  if (!verified(state, worst, (12 + 4 * 90) * unit_roundoff<T>)) return;
  for (auto _ : state) {
    benchmark::DoNotOptimize(kernels.row_factors(args));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(n) * state.iterations());
}

const bool registered = [] {
  for_each_kernel_variant("row_factors", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(20)->Arg(1000);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
