// A step of runs side by side, 6 and 20 samples in 10 dimensions.

#include "core/reference/kernels.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto& kernels = isa.kernels<T>();
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::size_t width = kernels.vector_width, size = 10 * simd::round_up_to_lanes<T>(n * width);
  std::vector<T> step = uniform<T>(width);
  const std::vector<T> x = uniform<T>(size, -1, 1, 2), u = uniform<T>(size, -1, 1, 3);
  std::vector<T> sum(size, T(0)), projected(size, T(0));
  const simd::RunMoveArgs<T> args{size, step.data(), x.data(), u.data(), sum.data(), projected.data()};
  kernels.run_move(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    const T a = step[k % width];
    worst = worse(worst,
                  std::fabs(static_cast<double>(sum[k] - reference::run_move<long double>(a, x[k], T(0)))));
    worst =
        worse(worst,
              std::fabs(static_cast<double>(projected[k] - reference::run_move<long double>(a, u[k], T(0)))));
  }
  if (!verified(state, worst, 2.01 * unit_roundoff<T>)) return;
  step.assign(width, T(0));  // repeated calls stay in range
  for (auto _ : state) {
    kernels.run_move(args);
    benchmark::ClobberMemory();
  }
  const auto elements = static_cast<double>(size);
  const double bytes = 6.0 * elements * sizeof(T);
  count(state, {4.0 * elements, peak_flops<T>(isa), bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("run_move", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("n")->Arg(6)->Arg(20);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
