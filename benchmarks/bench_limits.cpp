// The machine's own limits, again at every repetition: the fractions of the other benchmarks refer to what
// was measured at the start, and of_peak and of_read here tell how far the machine has drifted since.

#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void multiply_adds(benchmark::State& state, const simd::Isa& isa, int threads) {
  double flops = 0;
  for (auto _ : state) {
    const double rate = measure_peak_flops<T>(isa, threads);
    flops = 1e9;
    state.SetIterationTime(flops / rate);
  }
  count(state, {flops, peak_flops<T>(isa, threads)});
}

void reading(benchmark::State& state, Level level, int threads) {
  double bytes = 0;
  for (auto _ : state) {
    const double rate = measure_read_bandwidth(level, threads);
    bytes = 1e9;
    state.SetIterationTime(bytes / rate);
  }
  count(state, {0, 0, bytes, read_bandwidth(level, threads)});
}

const bool registered = [] {
  for (const int threads : thread_counts()) {
    const std::string suffix = "/threads:" + std::to_string(threads);
    for_each_kernel_variant("limit/fma", [&]<class T>(const simd::Isa& isa, const std::string& name) {
      benchmark::RegisterBenchmark((name + suffix).c_str(), [&isa, threads](benchmark::State& s) {
        multiply_adds<T>(s, isa, threads);
      })->UseManualTime();
    });
    for (const Level level : levels)
      benchmark::RegisterBenchmark((std::string("limit/read/") + name(level) + suffix).c_str(),
                                   [=](benchmark::State& s) { reading(s, level, threads); })
          ->UseManualTime();
  }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
