// exp(x) for x <= 0 over an array that stays in the first cache.

#include "core/reference/kernels.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const std::vector<T> x = uniform<T>(2048, -20.0, 0.0);
  std::vector<T> y(x.size());
  const auto& kernels = isa.kernels<T>();
  kernels.exp_nonpositive(x.data(), y.data(), x.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto exact = reference::exp_nonpositive<long double>(x[i]);
    const double error = std::fabs(static_cast<double>((y[i] - exact) / exact));
    if (!(error <= worst)) worst = error;
  }
  // 1.5 ULP: at most 3 u relative to the value.
  if (!verified(state, worst, 3 * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.exp_nonpositive(x.data(), y.data(), x.size());
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * x.size()));
}

const bool registered = [] {
  for_each_kernel_variant("exp_nonpositive", []<class T>(const simd::Isa& isa, const std::string& name) {
    benchmark::RegisterBenchmark(name.c_str(), [&isa](benchmark::State& s) { measure<T>(s, isa); });
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
