// The factors of the rows of runs side by side: two exponentials and a quotient for each row of each run.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto& kernels = isa.kernels<T>();
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::size_t width = kernels.vector_width, size = n * width;
  const std::vector<T> exponent = uniform<T>(size, -20, 0, 1), shifted_gap = uniform<T>(size, -1, 0, 2),
                       ones(size, T(1));
  const std::vector<double> score = uniform<double>(size, 0, 5, 3), zero(size, 0.0), one(size, 1.0),
                            inverse(size, 1.0 / static_cast<double>(n));
  std::vector<double> scale(size), factor(size), sizes(size), top(width), sum(width);
  const simd::RunFactorsArgs<T> args{
      n,           true,         exponent.data(), shifted_gap.data(), ones.data(),
      zero.data(), one.data(),   score.data(),    zero.data(),        inverse.data(),
      one.data(),  scale.data(), factor.data(),   top.data(),         sum.data(),
      sizes.data()};
  kernels.run_factors(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    const long double c = exponent[k];
    const auto exact = reference::run_factors<long double>(true, score[k], 0.0L, shifted_gap[k]);
    const long double expected =
        -std::exp(exact.log_slope + c - top[k % width]) / static_cast<long double>(n);
    worst = worse(worst, static_cast<double>(std::fabs(factor[k] * scale[k] / expected - 1)));
  }
  // Exponents to 30 in all, each rounded a few times (simd/kernels/row_factors.h).
  if (!verified(state, worst, (12 + 4 * 90) * unit_roundoff<double>)) return;
  for (auto _ : state) {
    kernels.run_factors(args);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(size) * state.iterations());
}

const bool registered = [] {
  for_each_kernel_variant("run_factors", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(6)->Arg(20);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
