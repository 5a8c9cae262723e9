// x a b: what every gradient row is multiplied by, one row of d entries.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::vector<T> x = uniform<T>(size);
  std::vector<T> out = x;
  const T a = T(3) / 8, b = T(8) / 3;  // together 1 but for rounding: repeated calls stay in range
  const auto& kernels = isa.kernels<T>();
  kernels.scale_row(size, a, b, out.data());
  double worst = 0.0;
  for (std::size_t i = 0; i < size; ++i)
    worst =
        worse(worst, std::fabs(static_cast<double>(out[i] - reference::scale_row<long double>(a, b, x[i]))));
  // Two roundings of values up to 1.
  if (!verified(state, worst, 2.01 * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.scale_row(size, a, b, out.data());
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(size * sizeof(T));
  count(state,
        {2.0 * static_cast<double>(size), peak_flops<T>(isa), 2.0 * bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("scale_row", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("d")->Arg(100)->Arg(2048);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
