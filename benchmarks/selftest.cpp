// That a benchmark with a wrong result gets no figure and fails the program: run by tests/structure, without
// measuring anything.

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "support.h"

namespace softstep::bench {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

struct Case {
  const char* name;
  double error, bound;
  bool right;
};
constexpr Case cases[] = {
    {"zero_error", 0, 1, true},
    {"at_the_bound", 1, 1, true},
    {"above_the_bound", 1.0000001, 1, false},
    {"far_above", 1e300, 1, false},
    {"infinite", infinity, 1, false},
    {"nan", nan, 1, false},
    {"nan_bound", 0, nan, false},
    {"negative_nan", -nan, infinity, false},
};

class Silence : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

int run(int argc, char** argv) {
  int bad = 0;
  const auto expect = [&](bool holds, const std::string& what) {
    std::printf("%-5s  %s\n", holds ? "ok" : "WRONG", what.c_str());
    bad += !holds;
  };
  std::map<std::string, int> measured;
  std::map<std::string, bool> refused;
  for (const bool once : {false, true})
    for (const Case& c : cases)
      benchmark::RegisterBenchmark(
          (std::string(once ? "once_" : "") + c.name).c_str(),
          [&, once](benchmark::State& state) {
            const std::string name = std::string(once ? "once_" : "") + c.name;
            const bool right = once ? verified_once(state, c.name, [&] { return c.error / c.bound; })
                                    : verified(state, c.error, c.bound);
            refused[name] = state.error_occurred();
            if (!right) return;
            for (auto _ : state) ++measured[name];
          })
          ->Iterations(3)
          ->Repetitions(2);
  benchmark::Initialize(&argc, argv);
  Silence silence;
  expect(!any_wrong(), "nothing is wrong before the first result");
  benchmark::RunSpecifiedBenchmarks(&silence);
  for (const bool once : {false, true})
    for (const Case& c : cases) {
      const std::string name = std::string(once ? "once_" : "") + c.name;
      expect(refused.count(name) == 1 && refused[name] == !c.right && (measured[name] > 0) == c.right,
             name + (c.right ? ": measured" : ": no figure"));
    }
  expect(any_wrong(), "the program is to fail");
  expect(worse(0, 1) == 1 && worse(1, 0) == 1, "worse: the larger");
  expect(std::isnan(worse(nan, 1)) && std::isnan(worse(1, nan)), "worse: NaN on either side stays");
  for (const auto& [n_rows, n_columns] : {std::pair<std::size_t, std::size_t>{10, 10},
                                          {24, 64},
                                          {60, 60},
                                          {256, 128},
                                          {256, 256},
                                          {4000, 256},
                                          {2048, 2048}}) {
    const std::size_t size = n_rows * n_columns, step = sample_step(size, n_columns);
    std::vector<bool> seen(n_columns % 8 == 0 ? 8 : n_columns % 4 == 0 ? 4 : 2, false);
    std::size_t n = 0;
    for (std::size_t e = 0; e < size; e += step, ++n) seen[e % n_columns % seen.size()] = true;
    expect(
        std::count(seen.begin(), seen.end(), false) == 0 && n >= std::min<std::size_t>(size, 250) && n <= 500,
        "verified of " + std::to_string(n_rows) + " x " + std::to_string(n_columns) + ": every lane");
  }
  // The largest sum that is verified, of numbers as its benchmark has them: none at all is to be seen.
  const std::vector<float> x = uniform<float>(1 << 17), w = uniform<float>(1 << 17, 0, 1, 3);
  double sum = 0, sizes = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double product = static_cast<double>(x[k]) * static_cast<double>(w[k]);
    sum += product;
    sizes += std::fabs(product);
  }
  expect(std::fabs(sum) > 2 * roundings_of_sum(1 << 17) * unit_roundoff<float> * sizes,
         "the bound of a sum of 131072 products is less than half of the sum");
  expect(roundings_of_sum(4) == 4 && roundings_of_sum(10000) == 600, "roundings of a sum: k, 6 sqrt(k)");
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace softstep::bench

int main(int argc, char** argv) { return softstep::bench::run(argc, argv); }
