// y + low + a x, the weight update that keeps what it rounds off, on d x d weights.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::vector<T> x = uniform<T>(size, -1, 1, 1), y = uniform<T>(size, -1, 1, 2);
  std::vector<T> out = y, low(size, T(0));
  const T a = T(1) / 1024;  // small: repeated updates stay in range
  const auto& kernels = isa.kernels<T>();
  kernels.axpy_compensated(size, a, x.data(), out.data(), low.data());
  double worst = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    const auto sum = static_cast<long double>(out[i]) + static_cast<long double>(low[i]);
    const auto exact = reference::axpy_compensated<long double>(a, x[i], y[i], T(0));
    worst = worse(worst, static_cast<double>(std::fabs(sum - exact)));
  }
  // The rounding of a x, below 1/1024, and of the long double.
  if (!verified(state, worst, unit_roundoff<T> / 1024 + 0x1p-62)) return;
  for (auto _ : state) {
    kernels.axpy_compensated(size, a, x.data(), out.data(), low.data());
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(size * sizeof(T));
  count(state, {8.0 * static_cast<double>(size), peak_flops<T>(isa), 5.0 * bytes,
                read_bandwidth(level_of(3.0 * bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("axpy_compensated", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })
        ->ArgName("size")
        ->Arg(60 * 60)
        ->Arg(512 * 512);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
