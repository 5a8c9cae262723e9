// Gram matrix times rows and the norm, of runs side by side, each with its own, in 10 dimensions.

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
  const std::size_t width = kernels.vector_width, columns = simd::round_up_to_lanes<T>(n * width);
  const std::vector<T> gram = uniform<T>(n * n * width), rows = uniform<T>(dim * columns, -1, 1, 2);
  std::vector<T> image(dim * columns);
  std::vector<double> squared(width);
  const simd::RunGramArgs<T> args{n, dim, columns, gram.data(), rows.data(), image.data(), squared.data()};
  kernels.run_gram(args);
  double worst = 0.0;
  for (std::size_t r = 0; r < width; ++r)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < dim; ++j) {
        const auto exact =
            reference::run_gram<long double>(i, j, r, width, n, columns, gram.data(), rows.data());
        worst = worse(worst, std::fabs(static_cast<double>(image[j * columns + i * width + r] - exact)));
      }
  // n terms up to 1, summed one by one.
  if (!verified(state, worst, static_cast<double>((n + 1) * n) * unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.run_gram(args);
    benchmark::ClobberMemory();
  }
  const auto w = static_cast<double>(width), samples = static_cast<double>(n);
  const double flops = 2.0 * w * samples * dim * (samples + 1.0);
  const double bytes = w * samples * (samples + 2.0 * dim) * sizeof(T);
  count(state, {flops, peak_flops<T>(isa), bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("run_gram", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(6)->Arg(20);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
