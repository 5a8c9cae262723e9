// Many runs of one shape, each on data of its own: a step of a run, side by side (train_many) and one after
// the other (train), on one thread and the active instruction set.

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shapes.h"
#include "softstep/softstep.h"
#include "support.h"

namespace softstep::bench {
namespace {

constexpr std::size_t n_runs = 96;  // whole vectors on every instruction set
constexpr std::int64_t n_steps = 500;

// Runs of a shape, each with a data set of its own seed.
template <class T>
class Runs {
 public:
  Runs(const Shape& shape, const std::string& rule) {
    options_.rules = {parse_rule(rule)};
    options_.trace_rows_per_decade = 0;
    options_.n_steps = n_steps;
    // Polyak steps leave data that are not separable before the last step: those are left out.
    for (std::uint64_t seed = 0; models_.size() < n_runs; ++seed) {
      data_.push_back(convert<T>(generate({.n_samples = shape.n_samples,
                                           .n_tokens = shape.n_tokens,
                                           .dim = shape.dim,
                                           .seed = seed,
                                           .equal_scores = true})));
      auto model = make_attention_model(data_.back().view());
      TrainState<T> state = initial_state(*model);
      if (train(*model, state, options_).steps == n_steps) models_.push_back(std::move(model));
    }
  }
  // The states after all steps, and the seconds spent in them.
  std::vector<TrainState<T>> train_all(bool side_by_side, double& seconds) const {
    std::vector<TrainState<T>> states;
    for (const auto& model : models_) states.push_back(initial_state(*model));
    std::vector<TrainSummary> summaries;
    if (side_by_side) {
      std::vector<ManyRun<T>> runs;
      for (std::size_t k = 0; k < n_runs; ++k) runs.push_back({models_[k].get(), &states[k], &options_});
      summaries = train_many<T>(runs);
    } else {
      for (std::size_t k = 0; k < n_runs; ++k) summaries.push_back(train(*models_[k], states[k], options_));
    }
    seconds = 0.0;
    for (const TrainSummary& summary : summaries) seconds += summary.seconds;
    return states;
  }
  bool goes_side_by_side() const {
    TrainState<T> state = initial_state(*models_[0]);
    return softstep::goes_side_by_side(ManyRun<T>{models_[0].get(), &state, &options_});
  }

 private:
  TrainerOptions options_;
  std::vector<Dataset<T>> data_;
  std::vector<std::unique_ptr<AttentionModel<T>>> models_;
};

// The worst distance of the directions of a run made both ways, over what rounding can make of it
// (tests/trainer/test_many.cpp).
template <class T>
double worst_over_bound(const Runs<T>& runs, const Shape& shape, bool is_continuous) {
  double seconds = 0.0, worst = 0.0;
  const auto many = runs.train_all(true, seconds), alone = runs.train_all(false, seconds);
  for (std::size_t k = 0; k < n_runs; ++k) {
    if (many[k].step != n_steps || alone[k].step != n_steps) return std::numeric_limits<double>::infinity();
    const auto terms = static_cast<double>(shape.n_samples + shape.dim + 2);
    // Directions of Adam and of signs are not continuous where an entry of the gradient is near 0, and such
    // an entry is seen where half of the digits are right (tests/trainer/test_many_dense.cpp holds each
    // step).
    const double bound = is_continuous
                             ? 4.0 * terms * unit_roundoff<T> * (1.0 + frobenius_norm(alone[k].blocks[0]))
                             : std::sqrt(unit_roundoff<T>);
    const double apart =
        std::sqrt(2.0 * compare_direction(many[k].blocks[0], alone[k].blocks[0]).one_minus_cos);
    worst = worse(worst, apart / bound);
  }
  return worst;
}

template <class T>
const Runs<T>& runs_of(const Shape& shape, const std::string& rule) {
  static std::map<std::string, Runs<T>> known;
  return known.try_emplace(name(shape) + rule, shape, rule).first->second;
}

template <class T>
void measure(benchmark::State& state, const Shape& shape, const std::string& rule, bool side_by_side) {
  const Runs<T>& runs = runs_of<T>(shape, rule);
  if (side_by_side && !runs.goes_side_by_side()) {
    state.SkipWithError("does not go side by side");
    return;
  }
  const std::string what = std::string("many/") + type_name<T> + name(shape) + rule;
  if (!verified_once(state, what,
                     [&] { return worst_over_bound(runs, shape, rule != "adam" && rule != "sign"); }))
    return;
  double total = 0.0;
  for (auto _ : state) {
    double seconds = 0.0;
    runs.train_all(side_by_side, seconds);
    state.SetIterationTime(seconds);
    total += seconds;
  }
  constexpr auto steps = static_cast<double>(n_runs) * static_cast<double>(n_steps);
  state.counters["us_per_step"] = 1e6 * total / steps / static_cast<double>(state.iterations());
}

template <class T>
void enlist_type() {
  for (const Shape& shape : {Shape{6, 8, 10}, Shape{20, 5, 10}, Shape{10, 6, 60}})
    for (const char* rule : {"ngd", "gd", "polyak", "adam", "sign", "momentum"})
      for (const bool side_by_side : {true, false}) {
        const std::string label = std::string("many/") + rule + "/" + type_name<T> + "/" + name(shape) +
                                  (side_by_side ? "/side_by_side" : "/one_by_one");
        benchmark::RegisterBenchmark(label.c_str(), [shape, rule, side_by_side](benchmark::State& s) {
          measure<T>(s, shape, rule, side_by_side);
        })->UseManualTime();
      }
}

const bool registered = [] {
  enlist_type<float>();
  enlist_type<double>();
  return true;
}();

}  // namespace
}  // namespace softstep::bench
