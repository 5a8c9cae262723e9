// Mini-batches: stochastic gradient descent, normalised, and Polyak steps with and without a cap.

#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 3, n_samples = 20, batch_size = 5;
constexpr std::int64_t n_steps = 30000;

enum Which { sgd, sngd, sps, sps_capped, n_rules };
const RuleUnderTest rules[n_rules] = {{"sgd:step-size=20", "sgd", "sngd:step-size=1"},
                                      {"sngd:step-size=1", "sngd", "sgd:step-size=20"},
                                      {"sps:factor=2", "sps, no cap", "sgd:step-size=20"},
                                      {"sps:factor=2,cap=20", "sps, cap 20", "sps:factor=2"}};

double minus_log_gap(const TraceRecord& row) { return -row.log10_gap; }
double distance(const TraceRecord& row) { return row.one_minus_cos; }

Result run(const Context& context) {
  std::vector<Dataset<double>> data;
  std::vector<std::vector<double>> limits;
  for (std::uint64_t seed = 0; seed < n_seeds; ++seed) {
    GeneratorOptions generator;
    generator.n_samples = n_samples;
    generator.seed = seed;
    data.push_back(generate(generator));
    limits.push_back(max_margin_direction(data.back().view()));
  }
  std::vector<Trace> traces(n_rules * n_seeds);
  parallel_for(traces.size(), context.n_threads, [&](std::size_t k) {
    const std::size_t seed = k / n_rules;
    const auto model = make_attention_model(data[seed].view(), AttentionOptions{});
    TrainerOptions trainer;
    trainer.rules = {rules[k % n_rules].settings(context)};
    trainer.n_steps = n_steps;
    trainer.batch_size = batch_size;
    trainer.batch_seed = seed;
    trainer.references = {limits[context.broken ? (seed + 1) % n_seeds : seed]};
    TrainState<double> state = normal_state(*model, 0.0, 0);
    traces[k] = run_model(*model, state, trainer);
  });
  Result result;
  result.configuration = {
      {"generator", "signal_noise"}, {"samples", n_samples}, {"tokens", 6},     {"dim", 60},
      {"batch_size", batch_size},    {"seeds", n_seeds},     {"steps", n_steps}};
  if (interrupted_run(traces)) return result;
  const auto median_of = [&](std::size_t rule, auto f) {
    std::vector<double> values;
    for (std::size_t seed = 0; seed < n_seeds; ++seed) values.push_back(f(traces[seed * n_rules + rule]));
    return median(values);
  };
  const auto gap_exponent = [](const Trace& trace) {
    return fitted_exponent(trace.steps(),
                           trace.column([](const TraceRecord& row) { return std::pow(10.0, row.log10_gap); }),
                           1e3, n_steps);
  };
  const auto log_gap_exponent = [](const Trace& trace) {
    return fitted_exponent(trace.steps(), trace.column(minus_log_gap), 1e3, n_steps);
  };
  const auto distance_left = [](const Trace& trace) {
    return distance(trace.last()) / value_at(trace.steps(), trace.column(distance), 1e3);
  };
  result.checks.push_back({"sgd: exponent of L - L*", "-1", median_of(sgd, gap_exponent), -1.1, -0.9});
  result.checks.push_back(
      {"sngd: exponent of -log(L - L*)", "1", median_of(sngd, log_gap_exponent), 0.9, 1.1});
  result.checks.push_back({"sngd: 1 - cos(W, W_mm) at 3e4 steps over that at 1e3", "goes to 0",
                           median_of(sngd, distance_left), 0.0, 0.5});
  result.checks.push_back(
      {"sps without a cap: exponent of -log(L - L*)", "1", median_of(sps, log_gap_exponent), 0.9, 1.1});
  result.checks.push_back({"sps with a cap: exponent of L - L*, that of sgd", "-1",
                           median_of(sps_capped, gap_exponent), -1.1, -0.9});
  const std::string caption =
      "First of 3 data sets signal_noise, n = 20, T = 6, d = 60, batches of 5; measured on all samples.";
  Figure gaps{"loss_gap", "Mini-batches: loss gap", caption + " Vertical axis: logarithm of the exponent.",
              "step", "$L - L^*$"};
  gaps.y_scale = Scale::tower;
  Figure directions{"one_minus_cos", "Mini-batches: distance from the limit", caption, "step",
                    "$1 - \\cos(W_t, W_{\\mathrm{mm}})$"};
  DataFile file{"trace.csv", {}, {}};
  for (std::size_t rule = 0; rule < n_rules; ++rule) {
    const Trace& trace = traces[rule];
    gaps.series.push_back({rules[rule].label, trace.steps(),
                           trace.column([](const TraceRecord& row) { return row.log10_gap; })});
    directions.series.push_back({rules[rule].label, trace.steps(), trace.column(distance)});
    for (std::size_t seed = 0; seed < n_seeds; ++seed)
      add_trace_rows(file, rules[rule].label, seed, traces[seed * n_rules + rule]);
  }
  result.figures = {gaps, directions};
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry minibatch_entry = {
    "minibatch",
    "Mini-batches: SGD, normalised SGD, and stochastic Polyak steps with and without a cap",
    "Without a cap the Polyak step stays independent of the gradient's size, and the loss gap falls "
    "exponentially; any cap makes it "
    "gradient descent in the end (Loizou et al. 2021).",
    "each rule replaced by another, and the direction of other data",
    run,
    "Loizou et al. 2021; arXiv 2402.05738",
    "stochastic rules with and without a cap",
    "holds"};

}  // namespace softstep::program::reproduce
