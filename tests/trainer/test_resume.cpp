// A run can be put down and taken up, in memory and through a file, and gives the same bits as one that never
// stopped; so does any number of threads.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <fstream>

#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::run;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TemporaryFile;

TEMPLATE_TEST_CASE("a resumed run has the bits of an uninterrupted one", "[trainer]", float, double) {
  const Dataset<TestType> data = convert<TestType>(signal_noise(5));
  const std::size_t d = data.view().dim;
  const TemporaryFile file("softstep-state");
  for (const RuleInfo& info : step_rules())
    for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64}) {
      INFO(info.name);
      TrainerOptions options;
      options.rule.rule = info.name;
      std::vector<TraceRecord> whole_rows, rows;
      Objective<TestType> objective(data.view());

      auto whole = initial_state<TestType>(nullptr, d, master);
      options.n_steps = 250;
      options.trace = [&](const TraceRecord& row) { return whole_rows.push_back(row), true; };
      train(objective, whole, options);

      auto state = initial_state<TestType>(nullptr, d, master);
      options.trace = [&](const TraceRecord& row) { return rows.push_back(row), true; };
      for (const int steps : {1, 99, 0, 150}) {
        options.n_steps = steps;
        train(objective, state, options);
        save_state(file.path, state, options.rule);
        state = load_state<TestType>(file.path, d, options.rule);
      }
      CHECK(state.step == whole.step);
      CHECK(same_bits(state.weights, whole.weights));
      CHECK(same_bits(state.master_weights, whole.master_weights));
      CHECK(state.rule_state.values == whole.rule_state.values);
      // Every row of the uninterrupted trace comes again, with the same figures.
      for (const TraceRecord& expected : whole_rows) {
        bool found = false;
        for (const TraceRecord& row : rows)
          found = found || (row.step == expected.step && row.loss == expected.loss &&
                            row.log10_gap == expected.log10_gap && row.weight_norm == expected.weight_norm);
        if (!found) FAIL("no equal row at step " << expected.step);
      }
    }
}

TEST_CASE("what a rule remembers of a matrix is saved as the weights are, whatever the layout of the run",
          "[trainer]") {
  // The first is small enough for one sample to a lane, the second has W transposed.
  for (const Dataset<double>& data : {signal_noise(8), signal_noise(8, 10, 40, 150)}) {
    const auto ran = run(data.view(), "adam", 1);
    const std::vector<double>& mean = ran.state.rule_state.values.at("adam.mean");
    Objective<double> objective(data.view());
    Evaluation<double> at_start;
    objective.evaluate(std::vector<double>(mean.size(), 0.0).data(), at_start, want_gradient);
    // The mean of one gradient is along it: but for sums of gradients in another order, far below 1e-12.
    CHECK(compare_direction(mean.data(), at_start.gradient.data(), mean.size()).one_minus_cos < 1e-12);
  }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits", "[trainer]", float, double) {
  // Large enough that the threads really start.
  const Dataset<TestType> data = convert<TestType>(signal_noise(6, 40, 90, 150));
  for (const char* rule : {"ngd", "polyak"}) {
    ObjectiveOptions options;
    const auto one = run(data.view(), rule, 12, {}, options);
    for (const int n_threads : {2, 3}) {
      options.n_threads = n_threads;
      const auto many = run(data.view(), rule, 12, {}, options);
      CHECK(many.summary.threads_used == n_threads);
      CHECK(same_bits(one.state.weights, many.state.weights));
      CHECK(one.summary.last.log10_gap == many.summary.last.log10_gap);
      CHECK(one.summary.last.log10_one_minus_optimal_attention ==
            many.summary.last.log10_one_minus_optimal_attention);
    }
  }
}

TEST_CASE("float64 master weights take steps that float32 weights lose", "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(7));
  const std::size_t d = data.view().dim;
  // Weights of 1e6 in float32 are 0.06 apart; steps of length 1e-2 over 3600 entries vanish.
  std::vector<double> large(d * d);
  for (std::size_t k = 0; k < large.size(); ++k) large[k] = (k % 7 == 0 ? -1e6 : 1e6);
  Objective<float> objective(data.view());
  TrainerOptions options;
  options.rule = parse_rule("ngd:step-size=0.01");
  options.form = Form::dense;  // a span form keeps the steps apart from where they started
  options.n_steps = 100;
  auto plain = initial_state<float>(large.data(), d);
  auto exact = initial_state<float>(large.data(), d, MasterWeights::float64);
  const std::vector<float> before = plain.weights;
  train(objective, plain, options);
  train(objective, exact, options);
  CHECK(same_bits(plain.weights, before));
  double moved = 0.0;
  for (std::size_t k = 0; k < large.size(); ++k) moved += std::pow(exact.master_weights[k] - large[k], 2);
  CHECK(std::sqrt(moved) > 0.1);
}

TEST_CASE("a token-span run is not resumed with tokens in 16 bits", "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(8));
  const std::size_t d = data.view().dim;
  const TemporaryFile file("softstep-state-token-span");
  TrainerOptions options;
  options.rule = parse_rule("ngd");
  options.form = Form::token_span;
  options.n_steps = 5;
  Objective<float> working(data.view());
  auto state = initial_state<float>(nullptr, d);
  train(working, state, options);
  save_state(file.path, state, options.rule);
  for (const StoredTokens storage : {StoredTokens::f16, StoredTokens::bf16}) {
    ObjectiveOptions stored;
    stored.token_storage = storage;
    Objective<float> objective(data.view(), stored);
    // `auto` goes on in the form of the state, and says so rather than change it.
    for (const Form form : {Form::automatic, Form::token_span}) {
      auto resumed = load_state<float>(file.path, d, options.rule);
      options.form = form;
      CHECK_THROWS_MATCHES(train(objective, resumed, options), InvalidArgument,
                           MessageMatches(ContainsSubstring("form") && ContainsSubstring("token-span") &&
                                          ContainsSubstring(to_string(storage))));
      CHECK(resumed.step == 5);  // as it was
      CHECK(same_bits(resumed.weights, state.weights));
    }
    // The other forms take the state up.
    auto resumed = load_state<float>(file.path, d, options.rule);
    options.form = Form::query_span;
    CHECK(train(objective, resumed, options).steps == 5);
  }
}

TEST_CASE("a state file that does not fit the run is refused by name", "[trainer]") {
  const TemporaryFile file("softstep-state-refused");
  const auto state = initial_state<double>(nullptr, 3);
  save_state(file.path, state, parse_rule("ngd:step-size=2"));
  CHECK_NOTHROW(load_state<double>(file.path, 3, parse_rule("ngd:step-size=2,schedule-power=0")));
  const auto refuse = [&](const std::string& word, auto load) {
    CHECK_THROWS_MATCHES(load(), InvalidArgument, MessageMatches(ContainsSubstring(word)));
  };
  refuse("rule", [&] { return load_state<double>(file.path, 3, parse_rule("ngd:step-size=1")); });
  refuse("rule", [&] { return load_state<double>(file.path, 3, parse_rule("polyak")); });
  refuse("[4, 4]", [&] { return load_state<double>(file.path, 4, parse_rule("ngd:step-size=2")); });
  refuse("precision", [&] { return load_state<float>(file.path, 3, parse_rule("ngd:step-size=2")); });
  save_weights(file.path, std::vector<double>(9, 1.0), 3);
  refuse("not a saved training state", [&] { return load_state<double>(file.path, 3, parse_rule("ngd")); });
  save_tensors(file.path, {{"weights", {3, 3}, std::vector<double>(9, 0.0), StoredType::f64}},
               {{"format", "softstep-state-2"}, {"rule", "polyak"}, {"step", "-4"}, {"seconds", "0"}});
  CHECK_THROWS_AS(load_state<double>(file.path, 3, parse_rule("polyak")), InvalidArgument);
  std::ofstream(file.path) << "not a state";
  CHECK_THROWS_AS(load_state<double>(file.path, 3, parse_rule("polyak")), InvalidArgument);
}
