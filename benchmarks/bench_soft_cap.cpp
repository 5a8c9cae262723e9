// cap tanh(x / cap) of a block of scores, with its derivative. Each pass begins with copying the scores back,
// which is part of the time.

#include "limits/limits.h"
#include "score_rows.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_keys = static_cast<std::size_t>(state.range(0));
  const bool with_derivative = state.range(1) != 0;
  const T cap = T(30);
  const std::vector<T> scores = uniform<T>(score_rows * n_keys, -60, 60);
  std::vector<T> block(scores.size()), derivative(scores.size());
  const simd::SoftCapArgs<T> args{score_rows,   n_keys, cap,
                                  block.data(), n_keys, with_derivative ? derivative.data() : nullptr};
  const auto& kernels = isa.kernels<T>();
  const auto run = [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    kernels.soft_cap(args);
  };
  run();
  double worst = 0.0;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const auto exact = reference::soft_cap<long double>(cap, scores[k]);
    // simd/kernels/soft_cap.h, |x / cap| to 2.
    worst = worse(worst, static_cast<double>(std::fabs((block[k] - exact.value) / exact.value)) / 9.0);
    if (with_derivative)
      worst =
          worse(worst,
                static_cast<double>(std::fabs((derivative[k] - exact.derivative) / exact.derivative)) / 17.0);
  }
  if (!verified(state, worst, 1.01 * unit_roundoff<T>)) return;
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const auto n = static_cast<double>(scores.size());
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * scores.size()));
  count(state, {(flops_of_exp<T> + 20) * n, peak_flops<T>(isa)});
}

const bool registered = [] {
  for_each_kernel_variant("soft_cap", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })
        ->ArgNames({"keys", "derivative"})
        ->Args({384, 0})
        ->Args({384, 1});
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
