#include "support.h"

#include <map>

#include "softstep/threads.h"

namespace softstep::bench {
namespace {
bool wrong = false;
std::map<std::string, double> errors;
}  // namespace

std::vector<const simd::Isa*> runnable_isas() {
  std::size_t n_rows = 0;
  const simd::Isa* rows = simd::isa_table(n_rows);
  std::vector<const simd::Isa*> out;
  for (std::size_t k = 0; k < n_rows; ++k)
    if (rows[k].runnable) out.push_back(rows + k);
  return out;
}

std::vector<int> thread_counts() {
  const int all = available_threads();
  return all > 1 ? std::vector<int>{1, all} : std::vector<int>{1};
}

bool verified(benchmark::State& state, double error, double bound) {
  if (error <= bound) return true;
  wrong = true;
  const std::string text =
      "wrong result: error " + std::to_string(error / bound) + " times its bound; not measured";
  state.SkipWithError(text.c_str());
  return false;
}

double* known_error(const std::string& what) {
  const auto found = errors.find(what);
  return found == errors.end() ? nullptr : &found->second;
}

void remember_error(const std::string& what, double error) { errors[what] = error; }

bool any_wrong() { return wrong; }

void count(benchmark::State& state, const Work& work) {
  using benchmark::Counter;
  const auto rate = Counter::kIsIterationInvariantRate;
  if (work.flops > 0) state.counters["flop/s"] = Counter(work.flops, rate);
  if (work.flops > 0 && work.peak > 0) state.counters["of_peak"] = Counter(work.flops / work.peak, rate);
  if (work.bytes > 0) state.counters["bytes/s"] = Counter(work.bytes, rate);
  if (work.bytes > 0 && work.bandwidth > 0)
    state.counters["of_read"] = Counter(work.bytes / work.bandwidth, rate);
}

}  // namespace softstep::bench
