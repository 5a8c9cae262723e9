// Seconds until 1 - cos(W, W_mm) is 1e-2, 1e-3, 1e-4, per rule: which rule reaches a direction soonest.

#include "core/reference/kernels.h"
#include "data.h"
#include "softstep/softstep.h"
#include "support.h"

namespace softstep::bench {
namespace {

constexpr const char* rules[] = {"gd:step-size=20", "ngd:step-size=1", "ngd:step-size=1,schedule-power=0.5",
                                 "polyak"};
constexpr Shape demo = {10, 6, 60};
// Where a rule has not arrived by then it is far from arriving: the direction of gradient descent needs
// e^(1 / angle) steps.
constexpr std::int64_t n_steps = 100000;

struct Target {
  double one_minus_cos;
  const char* counter;
};
constexpr Target targets[] = {{1e-2, "s_to_1e-2"}, {1e-3, "s_to_1e-3"}, {1e-4, "s_to_1e-4"}};

// From the definition, in long double: half the squared distance of the unit matrices.
template <class T>
double one_minus_cos(const std::vector<T>& a, const std::vector<double>& b) {
  const long double norm_a = std::sqrt(reference::dot<long double>(a.size(), a.data(), a.data()));
  const long double norm_b = std::sqrt(reference::dot<long double>(b.size(), b.data(), b.data()));
  long double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const long double difference = a[k] / norm_a - b[k] / norm_b;
    sum += difference * difference;
  }
  return static_cast<double>(sum / 2);
}

template <class T>
void measure(benchmark::State& state, const std::string& rule) {
  const BatchView<T>& data = signal_noise<T>(demo).view();
  const MaxMarginResult limit = solve_max_margin(data);
  if (!verified(state, limit.status == MaxMarginStatus::optimal ? 0.0 : 2.0, 1.0)) return;
  AttentionModel<T> objective(data);
  TrainerOptions options;
  options.rules = {parse_rule(rule)};
  options.n_steps = n_steps;
  options.trace_rows_per_decade = 0;
  options.references = {limit.weights};
  for (const Target& target : targets) options.thresholds.push_back(target.one_minus_cos);
  options.stop_one_minus_cos = options.thresholds.back();

  TrainState<T> run;
  const auto whole_run = [&] {
    run = initial_state(objective);
    return train(objective, run, options);
  };
  // Every threshold said to be reached at step k: a run of k steps must be there, and one of k - 1 not yet.
  // The distances are sums of d^2 squares of differences of numbers rounded to T's u.
  const double rounding = 2 * unit_roundoff<T>;
  const TrainSummary first = whole_run();
  // What was not reached: the run ends farther away.
  const auto is_reached = [&first](double threshold) {
    for (const TrainSummary::Crossing& crossing : first.time_to)
      if (crossing.threshold == threshold) return true;
    return false;
  };
  const double end = one_minus_cos(run.blocks[0], limit.weights) * (1 + 1e-6) + rounding;
  for (const Target& target : targets)
    if (!is_reached(target.one_minus_cos) && !verified(state, target.one_minus_cos, end)) return;
  for (const TrainSummary::Crossing& crossing : first.time_to) {
    const auto distance_after = [&](std::int64_t steps) {
      TrainState<T> again = initial_state(objective);
      TrainerOptions shorter = options;
      shorter.thresholds.clear();
      shorter.stop_one_minus_cos = 0;
      shorter.n_steps = steps;
      train(objective, again, shorter);
      return one_minus_cos(again.blocks[0], limit.weights);
    };
    if (!verified(state, distance_after(crossing.step), crossing.threshold * (1 + 1e-6) + rounding)) return;
    if (!verified(state, crossing.threshold, distance_after(crossing.step - 1) * (1 + 1e-6) + rounding))
      return;
  }

  TrainSummary summary;
  double seconds[std::size(targets)] = {};
  for (auto _ : state) {
    summary = whole_run();
    for (const TrainSummary::Crossing& crossing : summary.time_to)
      for (std::size_t k = 0; k < std::size(targets); ++k)
        if (crossing.threshold == targets[k].one_minus_cos) seconds[k] += crossing.seconds;
    state.SetIterationTime(summary.seconds);
  }
  // A counter that is not there: not reached.
  for (std::size_t k = 0; k < std::size(targets); ++k)
    if (seconds[k] > 0)
      state.counters[targets[k].counter] = seconds[k] / static_cast<double>(state.iterations());
  state.counters["steps"] = static_cast<double>(summary.steps);
  state.counters["us/step"] = summary.seconds / static_cast<double>(summary.steps) * 1e6;
}

template <class T>
void register_run(const std::string& rule) {
  benchmark::RegisterBenchmark(("time_to_direction/" + rule + "/" + type_name<T> + "/" + name(demo)).c_str(),
                               [=](benchmark::State& s) { measure<T>(s, rule); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

const bool registered = [] {
  for (const char* rule : rules) {
    register_run<float>(rule);
    register_run<double>(rule);
  }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
