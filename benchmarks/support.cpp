#include "support.h"

namespace softstep::bench {
namespace {
bool wrong = false;
}

std::vector<const simd::Isa*> runnable_isas() {
  std::size_t n_rows = 0;
  const simd::Isa* rows = simd::isa_table(n_rows);
  std::vector<const simd::Isa*> out;
  for (std::size_t k = 0; k < n_rows; ++k)
    if (rows[k].runnable) out.push_back(rows + k);
  return out;
}

bool verified(benchmark::State& state, double error, double bound) {
  if (error <= bound) return true;
  wrong = true;
  const std::string text =
      "wrong result: error " + std::to_string(error / bound) + " times its bound; not measured";
  state.SkipWithError(text.c_str());
  return false;
}

bool any_wrong() { return wrong; }

void count(benchmark::State& state, double flops, double bytes) {
  using benchmark::Counter;
  if (flops > 0) state.counters["flop/s"] = Counter(flops, Counter::kIsIterationInvariantRate);
  if (bytes > 0)
    state.counters["bytes/s"] = Counter(bytes, Counter::kIsIterationInvariantRate, Counter::kIs1024);
}

}  // namespace softstep::bench
