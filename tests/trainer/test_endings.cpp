// How a run ends, what it reports, and what it refuses.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::run;
using softstep::test::signal_noise;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// One sample of two tokens in one dimension: x = (1, -1), z = x_0, gamma = (1, -1).
Dataset<double> tiny(std::vector<double> tokens, std::vector<double> decoder) {
  DatasetParts<double> parts;
  parts.n_samples = 1;
  parts.n_tokens = tokens.size();
  parts.dim = 1;
  parts.tokens = std::move(tokens);
  parts.labels = {1};
  parts.decoder = std::move(decoder);
  return make_dataset(std::move(parts));
}

}  // namespace

TEMPLATE_TEST_CASE("a sample with one token has no gradient: the run is stationary at once", "[trainer]",
                   float, double) {
  const Dataset<TestType> data = convert<TestType>(tiny({1.0}, {1.0}));
  for (const RuleInfo& rule : step_rules()) {
    const auto result = run(data.view(), rule.name, 10);
    CHECK(result.summary.status == TrainStatus::stationary);
    CHECK(result.summary.steps == 0);
    CHECK(result.state.blocks[0][0] == 0);
    CHECK(result.trace.size() == 1);
    CHECK(result.summary.last.min_optimal_attention == 1.0);
  }
}

TEST_CASE("tokens that all score alike give no gradient either", "[trainer]") {
  const Dataset<double> data = tiny({1.0, 1.0, 1.0}, {2.0});
  CHECK(run(data.view(), "ngd", 10).summary.status == TrainStatus::stationary);
}

TEST_CASE("Polyak ends by name where the loss is not above the value given", "[trainer]") {
  const Dataset<double> data = tiny({1.0, -1.0}, {1.0});
  AttentionOptions options;
  options.optimal_loss = OptimalLoss::value;
  options.optimal_loss_value = 10.0;
  const auto result = run(data.view(), "polyak", 10, {}, options);
  CHECK(result.summary.status == TrainStatus::gap_not_positive);
  CHECK(result.summary.steps == 0);
}

TEMPLATE_TEST_CASE("a step that would overflow is not taken", "[trainer]", float, double) {
  const Dataset<TestType> data = convert<TestType>(tiny({1.0, -1.0}, {1.0}));
  // Ten such steps leave the number range; the coefficient, twice the length at W = 0, is still inside.
  const double huge = 0.1 * static_cast<double>(std::numeric_limits<TestType>::max());
  char rule[64];
  std::snprintf(rule, sizeof rule, "ngd:step-size=%.17g", huge);
  const auto result = run(data.view(), rule, 30);
  CHECK(result.summary.status == TrainStatus::not_finite);
  CHECK(result.summary.steps >= 1);
  CHECK(result.summary.steps <= 10);
  CHECK(std::isfinite(result.state.blocks[0][0]));
}

TEST_CASE("a run interrupted by its trace or its progress callback can be told and continued", "[trainer]") {
  const Dataset<double> data = signal_noise(0);
  AttentionModel<double> model(data.view());
  auto state = initial_state(model);
  TrainerOptions options;
  options.n_steps = 100000;
  options.trace = [](const TraceRecord& row) { return row.step < 50; };
  TrainSummary summary = train(model, state, options);
  CHECK(summary.status == TrainStatus::interrupted);
  CHECK(summary.last.step == state.step);
  CHECK(state.step >= 50);
  CHECK(state.step < 100);
  options.trace = nullptr;
  std::int64_t seen = 0;
  options.progress = [&](const Progress& progress) {
    seen = progress.step;
    return false;
  };
  summary = train(model, state, options);
  CHECK(summary.status == TrainStatus::interrupted);
  CHECK(summary.last.step == state.step);
  CHECK(seen == state.step);
}

TEST_CASE("thresholds are reported where 1 - cos first falls to them, and one can end the run", "[trainer]") {
  const Dataset<double> data = signal_noise(1);
  const MaxMarginResult limit = solve_max_margin(data.view());
  TrainerOptions options;
  options.thresholds = {1e-3, 1e-2, 1e-30};
  const auto all = run(data.view(), "ngd", 300, limit.weights, {}, options);
  REQUIRE(all.summary.time_to.size() == 2);
  for (const auto& crossing : all.summary.time_to) {
    const auto before = run(data.view(), "ngd", crossing.step - 1, limit.weights);
    const auto there = run(data.view(), "ngd", crossing.step, limit.weights);
    CHECK(before.summary.last.one_minus_cos > crossing.threshold);
    CHECK(there.summary.last.one_minus_cos <= crossing.threshold);
    CHECK(crossing.seconds <= all.summary.seconds);
  }
  TrainerOptions stop;
  stop.stop_one_minus_cos = 1e-2;
  const auto stopped = run(data.view(), "ngd", 300, limit.weights, {}, stop);
  CHECK(stopped.summary.status == TrainStatus::converged);
  CHECK(stopped.summary.last.one_minus_cos <= 1e-2);
  CHECK(stopped.summary.steps == stopped.state.step);
}

TEST_CASE("the trace starts at step 0, ends at the last step and is spaced as asked", "[trainer]") {
  const Dataset<double> data = signal_noise(0);
  TrainerOptions options;
  options.trace_rows_per_decade = 0;
  CHECK(run(data.view(), "ngd", 123, {}, {}, options).trace.size() == 2);
  CHECK(run(data.view(), "ngd", 0).trace.size() == 1);
  options.trace_rows_per_decade = 10;
  const auto result = run(data.view(), "ngd", 1234, {}, {}, options);
  CHECK(result.trace.front().step == 0);
  CHECK(result.trace.back().step == 1234);
  CHECK(result.trace.size() <= 2 + 10 * 3 + 2);
  for (std::size_t k = 1; k < result.trace.size(); ++k) {
    CHECK(result.trace[k].step > result.trace[k - 1].step);
    CHECK(result.trace[k].seconds >= result.trace[k - 1].seconds);
  }
  CHECK(std::isnan(result.summary.last.one_minus_cos));  // no reference, no direction
}

TEST_CASE("every step is traced where any number of rows is asked for, at once", "[trainer]") {
  const Dataset<double> data = tiny({1.0, -1.0}, {1.0});
  const AttentionModel<double> model(data.view());
  for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1000000}}) {
    TrainState<double> state = initial_state(model);
    state.step = first;
    TrainerOptions options;
    options.trace_rows_per_decade = std::numeric_limits<int>::max();
    options.n_steps = 3;
    std::vector<std::int64_t> steps;
    options.trace = [&](const TraceRecord& row) {
      steps.push_back(row.step);
      return true;
    };
    train(model, state, options);
    CHECK(steps == std::vector<std::int64_t>{first, first + 1, first + 2, first + 3});
  }
}

TEST_CASE("bad trainer options are named", "[trainer]") {
  const Dataset<double> data = signal_noise(0);
  const auto refuse = [&](const std::string& word, auto change) {
    TrainerOptions options;
    change(options);
    CHECK_THROWS_MATCHES(options.validate(), InvalidArgument, MessageMatches(ContainsSubstring(word)));
  };
  refuse("n_steps", [](TrainerOptions& o) { o.n_steps = -1; });
  refuse("trace_rows_per_decade", [](TrainerOptions& o) { o.trace_rows_per_decade = -3; });
  refuse("references", [](TrainerOptions& o) { o.references = {{1.0, not_a_number}}; });
  refuse("references", [](TrainerOptions& o) { o.references = {{0.0, 0.0}}; });
  refuse("references", [](TrainerOptions& o) { o.thresholds = {1e-3}; });
  refuse("references", [](TrainerOptions& o) { o.stop_one_minus_cos = 1e-3; });
  refuse("thresholds", [](TrainerOptions& o) { o.references = {{1.0}}, o.thresholds = {not_a_number}; });
  refuse("stop_one_minus_cos",
         [](TrainerOptions& o) { o.references = {{1.0}}, o.stop_one_minus_cos = not_a_number; });
  refuse("step-size", [](TrainerOptions& o) { o.rules[0].options["step-size"] = -1.0; });
  refuse("rule", [](TrainerOptions& o) { o.rules[0].rule = "nosuch"; });

  AttentionModel<double> model(data.view());
  TrainState<double> state;
  CHECK_THROWS_MATCHES(train(model, state, {}), InvalidArgument, MessageMatches(ContainsSubstring("state")));
  state.blocks = {std::vector<double>(60 * 60, not_a_number)};
  CHECK_THROWS_MATCHES(train(model, state, {}), InvalidArgument, MessageMatches(ContainsSubstring("finite")));
  const double bad = std::numeric_limits<double>::infinity();
  const Dataset<double> wide = tiny({1.0, -1.0}, {1.0});
  const Dataset<float> narrow = convert<float>(wide);
  CHECK_THROWS_AS(initial_state(AttentionModel<double>(wide.view()), {{bad}}), InvalidArgument);
  CHECK_THROWS_AS(initial_state(AttentionModel<float>(narrow.view()), {{1e300}}), InvalidArgument);
}
