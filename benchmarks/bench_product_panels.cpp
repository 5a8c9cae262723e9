// The products of attention over heads with what has been packed in panels: scores of 24 rows, and the sums
// of values that are added to what earlier keys gave.

#include "core/reference/softmax_blocks.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto m = static_cast<std::size_t>(state.range(0)), n = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  const bool add = state.range(3) != 0;
  const auto& kernels = isa.kernels<T>();
  const std::size_t columns = kernels.tile_columns;
  // The weights of keys are in [0, 1] and sums of values grow from call to call: only the first is verified.
  const std::vector<T> a = uniform<T>(m * k, -1, 1, 1),
                       panels = uniform<T>((n + columns - 1) / columns * columns * k, -1, 1, 2);
  std::vector<T> c(m * n, T(0));
  const simd::PanelsArgs<T> args{m, n, k, a.data(), k, false, panels.data(), k, c.data(), n, add};
  kernels.product_panels(args);
  double worst = 0.0;
  for (std::size_t e = 0; e < c.size(); e += sample_step(c.size(), n)) {
    const auto exact = reference::product_panels<long double>(e / n, e % n, k, a.data(), k, false,
                                                              panels.data(), k, columns);
    // Terms up to 1 in size (simd/kernels/product_panels.h).
    worst = worse(worst, std::fabs(static_cast<double>(c[e] - exact)) / static_cast<double>((k + 1) * k));
  }
  if (!verified(state, worst, unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.product_panels(args);
    benchmark::ClobberMemory();
  }
  count(state, {2.0 * static_cast<double>(m * n * k), peak_flops<T>(isa)});
}

const bool registered = [] {
  for_each_kernel_variant("product_panels", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })
        ->ArgNames({"m", "n", "k", "add"})
        ->Args({24, 384, 64, 0})
        ->Args({24, 64, 384, 1});
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
