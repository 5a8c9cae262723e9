// y + a x, the weight update, on d x d weights.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::vector<T> x = uniform<T>(size, -1, 1, 1), y = uniform<T>(size, -1, 1, 2);
  std::vector<T> out = y;
  const T a = T(1) / 1024;  // small: repeated updates stay in range
  const auto& kernels = isa.kernels<T>();
  kernels.axpy(size, a, x.data(), out.data());
  double worst = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    const double error = std::fabs(static_cast<double>(out[i] - reference::axpy<long double>(a, x[i], y[i])));
    worst = worse(worst, error);
  }
  // Two roundings of values below 1 + 1/1024.
  if (!verified(state, worst, 2.01 * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.axpy(size, a, x.data(), out.data());
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(size * sizeof(T));
  count(state, {2.0 * static_cast<double>(size), peak_flops<T>(isa), 3.0 * bytes,
                read_bandwidth(level_of(2.0 * bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("axpy", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })
        ->ArgName("size")
        ->Arg(60 * 60)
        ->Arg(512 * 512);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
