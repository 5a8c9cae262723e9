// The product of runs side by side that keep W itself, each with its own: V = W Z^T of 6 and 20 samples in 10
// dimensions.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto& kernels = isa.kernels<T>();
  const auto n = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t dim = 10;
  const std::size_t w = kernels.vector_width, columns = simd::round_up_to_lanes<T>(n * w);
  const std::vector<T> weights = uniform<T>(dim * dim * w), queries = uniform<T>(dim * columns, -1, 1, 2);
  std::vector<T> out(dim * columns);
  const simd::RunProductArgs<T> args{dim,     n, dim,        weights.data(), dim * w, w,      queries.data(),
                                     columns, w, out.data(), columns,        w,       nullptr};
  kernels.run_product(args);
  double worst = 0.0;
  for (std::size_t r = 0; r < w; ++r)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < dim; ++j) {
        const auto exact = reference::run_product<long double>(j, i, r, dim, weights.data(), dim * w, w,
                                                               queries.data(), columns, w);
        worst = worse(worst, std::fabs(static_cast<double>(out[j * columns + i * w + r] - exact)));
      }
  // dim terms up to 1, summed one by one.
  if (!verified(state, worst, static_cast<double>((dim + 1) * dim) * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.run_product(args);
    benchmark::ClobberMemory();
  }
  const auto width = static_cast<double>(w), samples = static_cast<double>(n);
  const double flops = 2.0 * width * samples * dim * dim;
  const double bytes = width * (dim * dim + 2.0 * samples * dim) * sizeof(T);
  count(state, {flops, peak_flops<T>(isa), bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("run_product", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(6)->Arg(20);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
