// One block of keys in the softmax of 24 rows: scores become weights. Each pass begins with copying the
// scores back, which is part of the time, and with rows that have seen nothing.

#include "limits/limits.h"
#include "score_rows.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_keys = static_cast<std::size_t>(state.range(0));
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  const std::vector<T> scores = uniform<T>(score_rows * n_keys, -10, 10);
  std::vector<T> block(scores.size()), top(score_rows), second(score_rows), rest(score_rows),
      decay(score_rows), former_weight(score_rows);
  std::vector<std::size_t> pivot(score_rows), former(score_rows);
  const simd::SoftmaxRowsArgs<T> args{score_rows,
                                      n_keys,
                                      block.data(),
                                      n_keys,
                                      nullptr,
                                      nullptr,
                                      0,
                                      top.data(),
                                      second.data(),
                                      pivot.data(),
                                      rest.data(),
                                      decay.data(),
                                      former_weight.data(),
                                      former.data()};
  const auto& kernels = isa.kernels<T>();
  const auto run = [&] {
    std::copy(scores.begin(), scores.end(), block.begin());
    std::fill(top.begin(), top.end(), hidden);
    std::fill(second.begin(), second.end(), hidden);
    std::fill(pivot.begin(), pivot.end(), simd::no_pivot);
    std::fill(rest.begin(), rest.end(), T(0));
    kernels.softmax_rows(args);
  };
  run();
  const RowsAfter<T> exact(scores, n_keys);
  double worst = 0.0;
  for (std::size_t r = 0; r < score_rows; ++r) {
    // Differences of scores to 20, rounded once, exp, and at most n additions (simd/kernels/softmax_rows.h).
    const double bound = (20.0 + 3.0 + static_cast<double>(n_keys)) * unit_roundoff<T>;
    worst = worse(worst, top[r] == exact.top[r] && second[r] == exact.second[r] && pivot[r] == exact.pivot[r]
                             ? 0.0
                             : 2.0);
    worst = worse(worst, static_cast<double>(std::fabs(rest[r] - exact.rest[r]) / exact.rest[r]) / bound);
    for (std::size_t j = 0; j < n_keys; ++j) {
      const long double e = j == pivot[r] ? 0.0L
                                          : std::exp(static_cast<long double>(scores[r * n_keys + j]) -
                                                     static_cast<long double>(exact.second[r]));
      worst = worse(worst, static_cast<double>(std::fabs(block[r * n_keys + j] - e)) /
                               (23.0 * unit_roundoff<T> * std::max(static_cast<double>(e), 1e-20)));
    }
  }
  if (!verified(state, worst, 1.01)) return;
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  const auto n = static_cast<double>(scores.size());
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * scores.size()));
  count(state, {(flops_of_exp<T> + 3) * n, peak_flops<T>(isa)});
}

const bool registered = [] {
  for_each_kernel_variant("softmax_rows", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("keys")->Arg(64)->Arg(384);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
