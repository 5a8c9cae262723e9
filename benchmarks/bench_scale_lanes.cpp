// x a_i b_i with the sample index last: all rows of a small layer, 10 dimensions.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_lanes = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t dim = 10;
  const std::vector<T> x = uniform<T>(dim * n_lanes);
  const std::vector<double> a = uniform<double>(n_lanes, 0.5, 2, 2);
  std::vector<double> b(n_lanes);
  for (std::size_t i = 0; i < n_lanes; ++i) b[i] = 1 / a[i];  // repeated calls stay in range
  std::vector<T> out = x;
  const simd::ScaleLanesArgs<T> args{dim, n_lanes, 0, n_lanes, a.data(), b.data(), out.data()};
  const auto& kernels = isa.kernels<T>();
  kernels.scale_lanes(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const auto exact = reference::scale_lanes<long double>(a[k % n_lanes], b[k % n_lanes], x[k]);
    worst = worse(worst, std::fabs(static_cast<double>(out[k] - exact)));
  }
  // Two roundings of values up to 1.
  if (!verified(state, worst, 2.01 * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.scale_lanes(args);
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(out.size() * sizeof(T));
  count(state, {2.0 * static_cast<double>(out.size()), peak_flops<T>(isa), 2.0 * bytes,
                read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("scale_lanes", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("lanes")->Arg(32)->Arg(128);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
