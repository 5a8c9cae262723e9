// Inner product, for norms of d x d gradients.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::vector<T> x = uniform<T>(size, -1, 1, 1), y = uniform<T>(size, 0, 1, 2);
  const auto& kernels = isa.kernels<T>();
  long double sizes = 0;
  for (std::size_t i = 0; i < size; ++i) sizes += std::fabs(static_cast<long double>(x[i]) * y[i]);
  const auto exact = static_cast<double>(reference::dot<long double>(size, x.data(), y.data()));
  const double error = std::fabs(kernels.dot(size, x.data(), y.data()) - exact);
  // At most 1024 products added in a row, each with two roundings (simd/kernels/dot.h).
  if (!verified(state, error, 2 * 1032 * unit_roundoff<T> * static_cast<double>(sizes))) return;
  for (auto _ : state) benchmark::DoNotOptimize(kernels.dot(size, x.data(), y.data()));
  const auto bytes = static_cast<double>(size * sizeof(T));
  count(state, {2.0 * static_cast<double>(size), peak_flops<T>(isa), 2.0 * bytes,
                read_bandwidth(level_of(2.0 * bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("dot", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })
        ->ArgName("size")
        ->Arg(60 * 60)
        ->Arg(512 * 512);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
