// A run can be put down and taken up, in memory and through a file, and gives the same bits as one that never
// stopped; so does any number of threads.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <fstream>

#include "models/model_runs.h"
#include "support/batches.h"
#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::run;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TemporaryFile;

TEST_CASE("what was rounded off goes on with its weights where it is half a unit in the last place",
          "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(5));
  const AttentionModel<float> model(data.view());
  const std::size_t size = model.blocks()[0].size();
  // Of odd mantissas: with the half added they round to their even neighbours.
  const float odd = 1.0f + 0x1p-23f, half = 0x1p-24f;
  REQUIRE(odd + half != odd);
  TrainState<float> state = initial_state(model, {std::vector<double>(size, odd)});
  state.remainders = {std::vector<float>(size, half)};
  TrainerOptions options;
  options.form = Form::dense;
  options.rules = {parse_rule("gd:step-size=1e-30")};
  options.n_steps = 1;
  train(model, state, options);
  for (std::size_t k = 0; k < size; ++k)
    REQUIRE(static_cast<double>(state.blocks[0][k]) + static_cast<double>(state.remainders[0][k]) ==
            static_cast<double>(odd) + static_cast<double>(half));
  // What is more than that was of other weights.
  state.blocks[0].assign(size, odd);
  state.remainders[0].assign(size, 1.01f * half);
  train(model, state, options);
  for (std::size_t k = 0; k < size; ++k)
    REQUIRE(static_cast<double>(state.blocks[0][k]) + static_cast<double>(state.remainders[0][k]) ==
            static_cast<double>(odd));
}

TEMPLATE_TEST_CASE("a resumed run has the bits of an uninterrupted one", "[trainer]", float, double) {
  const Dataset<TestType> data = convert<TestType>(signal_noise(5));
  const TemporaryFile file("softstep-state");
  for (const RuleInfo& info : step_rules())
    for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64}) {
      INFO(info.name);
      TrainerOptions options;
      options.rules[0].rule = info.name;
      std::vector<TraceRecord> whole_rows, rows;
      AttentionModel<TestType> model(data.view());

      auto whole = initial_state(model, {}, master);
      options.n_steps = 250;
      options.trace = [&](const TraceRecord& row) { return whole_rows.push_back(row), true; };
      train(model, whole, options);

      auto state = initial_state(model, {}, master);
      options.trace = [&](const TraceRecord& row) { return rows.push_back(row), true; };
      // The last time after two refreshes of a span form: only the second one leaves a remainder.
      for (const int steps : {1, 99, 0, 60, 90}) {
        options.n_steps = steps;
        train(model, state, options);
        save_state(file.path, model, state, options);
        state = load_state(file.path, model, options);
      }
      CHECK(state.step == whole.step);
      CHECK(same_bits(state.blocks[0], whole.blocks[0]));
      CHECK(same_bits(state.masters[0], whole.masters[0]));
      CHECK(state.rule_states[0].values == whole.rule_states[0].values);
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
    const std::vector<double>& mean = ran.state.rule_states[0].values.at("adam.mean");
    AttentionModel<double> model(data.view());
    Evaluation<double> at_start;
    model.evaluate(std::vector<double>(mean.size(), 0.0), at_start, want_gradient);
    // The mean of one gradient is along it: but for sums of gradients in another order, far below 1e-12.
    CHECK(compare_direction(mean, at_start.gradients[0].values).one_minus_cos < 1e-12);
  }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits", "[trainer]", float, double) {
  // Large enough that the threads really start.
  const Dataset<TestType> data = convert<TestType>(signal_noise(6, 40, 90, 150));
  for (const char* rule : {"ngd", "polyak"}) {
    AttentionOptions options;
    const auto one = run(data.view(), rule, 12, {}, options);
    for (const int n_threads : {2, 3}) {
      options.n_threads = n_threads;
      const auto many = run(data.view(), rule, 12, {}, options);
      CHECK(many.summary.threads_used == n_threads);
      CHECK(same_bits(one.state.blocks[0], many.state.blocks[0]));
      CHECK(one.summary.last.log10_gap == many.summary.last.log10_gap);
      CHECK(one.summary.last.log10_one_minus_optimal_attention ==
            many.summary.last.log10_one_minus_optimal_attention);
    }
  }
}

TEST_CASE("steps that float32 weights alone would lose are kept beside them, or in float64 master weights",
          "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(7));
  const std::size_t d = data.view().dim;
  // Weights of 1e6 in float32 are 0.06 apart. Steps of length 1e-2 over 3600 entries change no entry by half
  // of that.
  std::vector<double> large(d * d);
  for (std::size_t k = 0; k < large.size(); ++k) large[k] = (k % 7 == 0 ? -1e6 : 1e6);
  AttentionModel<float> model(data.view());
  TrainerOptions options;
  options.rules = {parse_rule("ngd:step-size=0.01")};
  options.form = Form::dense;  // a span form keeps the steps apart from where they started
  options.n_steps = 100;
  auto plain = initial_state(model, {large});
  auto exact = initial_state(model, {large}, MasterWeights::float64);
  train(model, plain, options);
  train(model, exact, options);
  REQUIRE(plain.remainders[0].size() == large.size());
  double moved = 0.0, beside = 0.0;
  for (std::size_t k = 0; k < large.size(); ++k) {
    moved += std::pow(exact.masters[0][k] - large[k], 2);
    beside += std::pow(
        static_cast<double>(plain.blocks[0][k]) + static_cast<double>(plain.remainders[0][k]) - large[k], 2);
  }
  CHECK(std::sqrt(moved) > 0.1);
  CHECK(std::sqrt(beside) > 0.1);
  CHECK(std::sqrt(beside) < 1.01);
}

TEST_CASE("a token-span run is not resumed with tokens in 16 bits", "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(8));
  const TemporaryFile file("softstep-state-token-span");
  TrainerOptions options;
  options.rules = {parse_rule("ngd")};
  options.form = Form::token_span;
  options.n_steps = 5;
  AttentionModel<float> working(data.view());
  auto state = initial_state(working);
  train(working, state, options);
  save_state(file.path, working, state, options);
  for (const StoredType storage : {StoredType::f16, StoredType::bf16}) {
    AttentionOptions stored;
    stored.token_storage = storage;
    AttentionModel<float> model(data.view(), stored);
    CHECK_THROWS_MATCHES(load_state(file.path, model, options), InvalidArgument,
                         MessageMatches(ContainsSubstring(std::string("tokens as ") + to_string(storage))));
    // `auto` goes on in the form of the state, and says so rather than change it.
    for (const Form form : {Form::automatic, Form::token_span}) {
      auto resumed = load_state(file.path, working, options);
      options.form = form;
      CHECK_THROWS_MATCHES(train(model, resumed, options), InvalidArgument,
                           MessageMatches(ContainsSubstring("form") && ContainsSubstring("token-span") &&
                                          ContainsSubstring(to_string(storage))));
      CHECK(resumed.step == 5);  // as it was
      CHECK(same_bits(resumed.blocks[0], state.blocks[0]));
    }
    // The other forms take the state up.
    auto resumed = load_state(file.path, working, options);
    options.form = Form::query_span;
    CHECK(train(model, resumed, options).steps == 5);
  }
}

TEST_CASE("a state file that does not fit the run is refused by name", "[trainer]") {
  using softstep::test::Disguised;
  const TemporaryFile file("softstep-state-refused");
  const softstep::test::TestBatch<double> three({{2, 2}, 3}, 1), again({{2, 2}, 3}, 1), other({{2, 2}, 3}, 2),
      four({{2, 2}, 4}, 1);
  const softstep::test::TestBatch<float> narrow({{2, 2}, 3}, 1);
  const AttentionModel<double> model(three.view);
  const auto with = [](const std::string& rule) {
    TrainerOptions options;
    options.rules = {parse_rule(rule)};
    return options;
  };
  const auto state = initial_state(model);
  const auto saved = with("ngd:step-size=2");
  save_state(file.path, model, state, saved);
  CHECK_NOTHROW(load_state(file.path, model, with("ngd:step-size=2,schedule-power=0")));
  CHECK_NOTHROW(load_state(file.path, AttentionModel<double>(again.view), saved));
  const auto refuse = [&](const std::string& word, auto load) {
    INFO(word);
    CHECK_THROWS_MATCHES(load(), InvalidArgument, MessageMatches(ContainsSubstring(word)));
  };
  refuse("rules", [&] { return load_state(file.path, model, with("ngd:step-size=1")); });
  refuse("rules", [&] { return load_state(file.path, model, with("polyak")); });
  // What belongs to other data, another loss or other options.
  refuse("model", [&] { return load_state(file.path, AttentionModel<double>(four.view), saved); });
  refuse("model", [&] { return load_state(file.path, AttentionModel<double>(other.view), saved); });
  refuse("model", [&] { return load_state(file.path, AttentionModel<float>(narrow.view), saved); });
  for (const AttentionOptions& options :
       {AttentionOptions{.loss = Loss::exponential}, AttentionOptions{.optimal_loss = OptimalLoss::zero},
        AttentionOptions{.key_query = KeyQuery::prompt}})
    refuse("model",
           [&] { return load_state(file.path, AttentionModel<double>(three.view, options), saved); });
  for (const AttentionOptions& options :
       {AttentionOptions{.n_threads = 2}, AttentionOptions{.isa = "scalar"}})
    CHECK_NOTHROW(load_state(file.path, AttentionModel<double>(three.view, options), saved));
  // A file that has been changed.
  std::vector<std::pair<std::string, std::string>> metadata;
  const std::vector<NamedTensor> tensors = load_tensors(file.path, &metadata);
  const auto load_changed = [&](auto change) {
    auto changed = tensors;
    auto words = metadata;
    change(changed, words);
    save_tensors(file.path, changed, words);
    return load_state(file.path, model, saved);
  };
  using Tensors = std::vector<NamedTensor>;
  using Words = std::vector<std::pair<std::string, std::string>>;
  const auto set = [](Words& words, const std::string& key, const std::string& value) {
    for (auto& [name, old] : words)
      if (name == key) old = value;
  };
  CHECK_NOTHROW(load_changed([](Tensors&, Words&) {}));
  refuse("damaged", [&] { return load_changed([](Tensors& t, Words&) { t[0].values[4] = 1e-300; }); });
  refuse("damaged", [&] { return load_changed([&](Tensors&, Words& w) { set(w, "step", "4"); }); });
  refuse("`step` is `-4`", [&] { return load_changed([&](Tensors&, Words& w) { set(w, "step", "-4"); }); });
  refuse("softstep-state-2",
         [&] { return load_changed([&](Tensors&, Words& w) { set(w, "format", "softstep-state-2"); }); });
  // Models that do not say who they are.
  save_state(file.path, Disguised<double>(model), state, saved);
  const AttentionModel<double> of_four(four.view);
  const AttentionModel<float> in_float(narrow.view);
  refuse("[4, 4]", [&] { return load_state(file.path, Disguised<double>(of_four), saved); });
  refuse("precision", [&] { return load_state(file.path, Disguised<float>(in_float), saved); });

  save_weights(file.path, std::vector<double>(9, 1.0), 3);
  refuse("not a saved training state", [&] { return load_state(file.path, model, with("ngd")); });
  save_tensors(file.path, {{"weights", {3, 3}, std::vector<double>(9, 0.0), StoredType::f64}},
               {{"format", "softstep-state-2"}, {"rule", "polyak"}, {"step", "-4"}, {"seconds", "0"}});
  CHECK_THROWS_AS(load_state(file.path, model, with("polyak")), InvalidArgument);
  std::ofstream(file.path) << "not a state";
  CHECK_THROWS_AS(load_state(file.path, model, with("polyak")), InvalidArgument);
}
