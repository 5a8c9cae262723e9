// The loss gaps of runs side by side: three exponentials, a logarithm and two quotients for each sample of
// each run, and one exponential for the sum.

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
  const std::vector<T> exponent = uniform<T>(size, -20, 0, 1), mean_gap = uniform<T>(size, -1, 0, 2);
  const std::vector<double> score = uniform<double>(size, 0, 5, 3), zero(size, 0.0), one(size, 1.0);
  std::vector<T> shifted_gap(size);
  std::vector<double> slope(size), slope_exponent(size), mantissa(width), top(width), work(2 * size);
  for (std::size_t k = 0; k < size; ++k) {
    shifted_gap[k] = static_cast<T>(std::exp(static_cast<double>(exponent[k])) * mean_gap[k]);
    slope[k] = 1 / (1 + std::exp(-score[k]));
    slope_exponent[k] = -score[k];
  }
  const simd::RunGapsArgs<T> args{
      n,           true,       exponent.data(), mean_gap.data(),       shifted_gap.data(),
      zero.data(), one.data(), slope.data(),    slope_exponent.data(), mantissa.data(),
      top.data(),  work.data()};
  kernels.run_gaps(args);
  double worst = 0.0;
  for (std::size_t r = 0; r < width; ++r) {
    long double exact = 0;
    for (std::size_t k = r; k < size; k += width)
      exact +=
          reference::run_gaps<long double>(true, score[k], -static_cast<long double>(shifted_gap[k])) /
          static_cast<long double>(n);
    const long double got = mantissa[r] * std::exp(static_cast<long double>(top[r]));
    worst = worse(worst, static_cast<double>(std::fabs(got / exact - 1)));
  }
  // As in simd/kernels/run_gaps.h.
  if (!verified(state, worst, (60 + 4 * 26) * unit_roundoff<double>)) return;
  for (auto _ : state) {
    kernels.run_gaps(args);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(size) * state.iterations());
}

const bool registered = [] {
  for_each_kernel_variant("run_gaps", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(6)->Arg(20);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
