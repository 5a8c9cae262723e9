// One block of keys in the backward pass of 24 rows: scores and slopes become gradient and attention. Each
// pass begins with copying both back, which is part of the time.

#include "limits/limits.h"
#include "score_rows.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_keys = static_cast<std::size_t>(state.range(0));
  const std::vector<T> scores = uniform<T>(score_rows * n_keys, -10, 10),
                       slopes = uniform<T>(score_rows * n_keys, -1, 1, 2);
  std::vector<T> block(scores.size()), of_slopes(scores.size()), p_a(score_rows), rest(score_rows),
      delta(score_rows), of_pivot(score_rows, T(-0.25));
  const RowsAfter<T> after(scores, n_keys);
  for (std::size_t r = 0; r < score_rows; ++r) {
    const long double power = std::exp(static_cast<long double>(after.second[r]) - after.top[r]),
                      attention = 1 / (1 + power * after.rest[r]);
    p_a[r] = static_cast<T>(attention);
    rest[r] = static_cast<T>(attention * power);
    delta[r] = static_cast<T>(0.1);
  }
  const simd::SoftmaxGradientArgs<T> args{score_rows,
                                          n_keys,
                                          block.data(),
                                          of_slopes.data(),
                                          n_keys,
                                          nullptr,
                                          nullptr,
                                          0,
                                          after.second.data(),
                                          after.pivot.data(),
                                          p_a.data(),
                                          rest.data(),
                                          delta.data(),
                                          of_pivot.data()};
  const auto& kernels = isa.kernels<T>();
  const auto run = [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    std::copy(slopes.begin(), slopes.end(), of_slopes.begin());
    kernels.softmax_gradient(args);
  };
  run();
  double worst = 0.0;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    const std::size_t r = k / n_keys;
    if (k % n_keys == after.pivot[r]) {
      worst = worse(worst, block[k] == of_pivot[r] && of_slopes[k] == p_a[r] ? 0.0 : 2.0);
      continue;
    }
    const long double e = std::exp(static_cast<long double>(scores[k]) - after.second[r]),
                      gradient = p_a[r] * e * (static_cast<long double>(slopes[k]) - delta[r]),
                      attention = rest[r] * e;
    // Differences of scores to 20 and 6 u (simd/kernels/softmax_gradient.h).
    const double bound = 1.01 * 26 * unit_roundoff<T>;
    worst = worse(worst, static_cast<double>(std::fabs(block[k] - gradient)) /
                             (bound * std::max(static_cast<double>(std::fabs(gradient)), 1e-30)));
    worst = worse(worst, static_cast<double>(std::fabs(of_slopes[k] - attention)) /
                             (bound * static_cast<double>(attention)));
  }
  if (!verified(state, worst, 1.0)) return;
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const auto n = static_cast<double>(scores.size());
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * scores.size()));
  count(state, {(flops_of_exp<T> + 5) * n, peak_flops<T>(isa)});
}

const bool registered = [] {
  for_each_kernel_variant("softmax_gradient", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("keys")->Arg(64)->Arg(384);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
