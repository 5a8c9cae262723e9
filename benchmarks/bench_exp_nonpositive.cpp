// exp(x) for x <= 0 over an array that stays in the first cache.

#include "contenders.h"
#include "core/reference/kernels.h"
#include "score_rows.h"

namespace softstep::bench {
namespace {

// In units of T's roundoff. The kernel: 1.5 ULP (simd/exp.h). The others: 4 ULP, what the C library states
// for its vector functions.
template <class T>
double bound(const Contender<T>& c) {
  return (c.isa != nullptr ? 3 : 8) * unit_roundoff<T>;
}

template <class T>
void measure(benchmark::State& state, const Contender<T>& c) {
  const std::vector<T> x = uniform<T>(2048, -20.0, 0.0);
  std::vector<T> y(x.size());
  const auto run =
      c.isa != nullptr ? c.isa->template kernels<T>().exp_nonpositive : c.baseline->exp_nonpositive;
  run(x.data(), y.data(), x.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto exact = reference::exp_nonpositive<long double>(x[i]);
    worst = worse(worst, std::fabs(static_cast<double>((y[i] - exact) / exact)));
  }
  if (!verified(state, worst, bound(c))) return;
  for (auto _ : state) {
    run(x.data(), y.data(), x.size());
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  const auto n = static_cast<double>(x.size());
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * x.size()));
  count(state, {flops_of_exp<T> * n, c.peak()});
}

const bool registered = [] {
  for_each_contender("exp_nonpositive", []<class T>(const Contender<T>& c, const std::string& name) {
    enlist(name, [=](benchmark::State& s) { measure<T>(s, c); });
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
