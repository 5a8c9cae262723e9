// Runs of models: mini-batches, resumption, endings, and what the trainer refuses.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <set>

#include "models/model_runs.h"
#include "support/temporary_file.h"
#include "trainer/runs.h"

using namespace softstep;
using namespace softstep::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

// Notes which samples it is asked for.
template <class T>
class Recorder final : public Disguised<T> {
 public:
  using Disguised<T>::Disguised;
  mutable std::vector<std::vector<std::size_t>> seen;

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want,
                   SampleSet samples) const override {
    if (!samples.is_all()) seen.emplace_back(samples.indices.begin(), samples.indices.end());
    Disguised<T>::evaluate_at(at, out, space, want, samples);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("a resumed run of a model has the bits of an uninterrupted one", "[models]", float,
                   double) {
  using T = TestType;
  const Dataset<T> data = convert<T>(signal_noise(5, 10, 6, 12));
  const TemporaryFile file("softstep-model-state");
  for (const AttentionOptions& kind : {joint_options(), joint_options(KeyQuery::factored, 4)})
    for (const RuleInfo& info : step_rules())
      for (const std::size_t batch_size : {std::size_t{0}, std::size_t{3}})
        for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64}) {
          INFO(info.name << ", batches of " << batch_size);
          const auto model = make_attention_model(data.view(), kind);
          TrainerOptions options = model_options(info.name, 61);
          options.batch_size = batch_size;
          options.batch_seed = 9;
          const auto start = normal_state<T>(*model, 0.1, 6, master);
          auto whole = start, pieces = start;
          const TrainSummary at_once = train(*model, whole, options);
          for (const int steps : {1, 22, 0, 38}) {
            options.n_steps = steps;
            train(*model, pieces, options);
            save_state(file.path, *model, pieces, options);
            pieces = load_state<T>(file.path, *model, options);
          }
          CHECK(whole.step == at_once.steps);
          CHECK(pieces.step == whole.step);
          for (std::size_t k = 0; k < whole.blocks.size(); ++k) {
            CHECK_FALSE(same_bits(start.blocks[k], whole.blocks[k]));
            CHECK(same_bits(pieces.blocks[k], whole.blocks[k]));
            CHECK(same_bits(pieces.masters[k], whole.masters[k]));
            CHECK(whole.masters[k].empty() == (master == MasterWeights::working || sizeof(T) == 8));
            CHECK(pieces.rule_states[k].values == whole.rule_states[k].values);
          }
        }
}

TEST_CASE("mini-batches see every sample once an epoch, in an order of the seed alone", "[models]") {
  const Dataset<double> data = signal_noise(7, 10, 3, 5);
  const auto model = make_attention_model(data.view(), joint_options());
  const auto seen = [&](std::size_t batch_size, std::uint64_t seed, std::vector<std::int64_t> pieces) {
    Recorder<double> recorder(*model);
    auto state = normal_state<double>(recorder, 0.1, 1);
    TrainerOptions options = model_options("ngd:step-size=0.1", 0);
    options.batch_size = batch_size;
    options.batch_seed = seed;
    for (const std::int64_t n_steps : pieces) {
      options.n_steps = n_steps;
      train(recorder, state, options);
    }
    return recorder.seen;
  };
  for (const std::size_t batch_size : {1u, 3u, 5u, 9u}) {
    const std::size_t per_epoch = (10 + batch_size - 1) / batch_size;
    const auto n_steps = static_cast<std::int64_t>(4 * per_epoch);
    const auto batches = seen(batch_size, 11, {n_steps});
    REQUIRE(batches.size() == 4 * per_epoch);
    std::set<std::vector<std::size_t>> orders;
    for (std::size_t epoch = 0; epoch < 4; ++epoch) {
      std::vector<std::size_t> order;
      for (std::size_t b = 0; b < per_epoch; ++b) {
        const auto& batch = batches[epoch * per_epoch + b];
        CHECK(batch.size() == (b + 1 < per_epoch ? batch_size : 10 - batch_size * (per_epoch - 1)));
        order.insert(order.end(), batch.begin(), batch.end());
      }
      CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 10);
      CHECK(order.size() == 10);
      CHECK(*std::max_element(order.begin(), order.end()) == 9);
      orders.insert(order);
    }
    // Within a batch samples ascend, so that with 9 an order is known by the one sample that is left over.
    CHECK(orders.size() >= (batch_size == 9 ? 2u : 4u));
    for (const auto& batch : batches) CHECK(std::is_sorted(batch.begin(), batch.end()));
    CHECK(batches == seen(batch_size, 11, {n_steps}));
    CHECK(batches == seen(batch_size, 11, {1, n_steps - 3, 2}));
    CHECK(batches != seen(batch_size, 12, {n_steps}));
  }
  CHECK(seen(0, 11, {5}).empty());
  CHECK(seen(10, 11, {5}).empty());
}

TEST_CASE("K = Q = 0 is a stationary point, and the run says so at once", "[models]") {
  const Dataset<double> data = signal_noise(8, 6, 4, 8);
  AttentionOptions kind;
  kind.key_query = KeyQuery::factored;
  kind.rank = 3;
  for (const RuleInfo& info : step_rules())
    for (const Normalization normalization : {Normalization::separate, Normalization::joint}) {
      if (normalization == Normalization::joint &&
          !make_step_rule<double>({info.name, {}})->moves_along_gradient())
        continue;
      INFO(info.name);
      const auto model = make_attention_model(data.view(), kind);
      auto state = normal_state<double>(*model, 0.0, 0);
      auto options = model_options(info.name, 10);
      options.normalization = normalization;
      const TrainSummary summary = train(*model, state, options);
      CHECK(summary.status == TrainStatus::stationary);
      CHECK(summary.steps == 0);
      CHECK(state.step == 0);
    }
}

TEST_CASE("models and their trainer refuse what does not fit, by name", "[models]") {
  const Dataset<double> data = signal_noise(9, 6, 4, 8);
  const auto refuse = [](const std::string& word, auto body) {
    INFO(word);
    CHECK_THROWS_MATCHES(body(), InvalidArgument, MessageMatches(ContainsSubstring(word)));
  };
  for (const std::size_t rank : {0u, 9u})
    refuse("rank: " + std::to_string(rank),
           [&] { make_attention_model(data.view(), joint_options(KeyQuery::factored, rank)); });
  for (const OptimalLoss mode : {OptimalLoss::optimal, OptimalLoss::selected}) {
    AttentionOptions options = joint_options();
    options.optimal_loss = mode;
    refuse("optimal_loss", [&] { make_attention_model(data.view(), options); });
    LinearOptions linear;
    linear.optimal_loss = mode;
    refuse("optimal_loss", [&] { make_linear_model(data.view(), linear); });
  }
  AttentionOptions no_decoder;
  BatchView<double> undecided = data.view();
  undecided.decoder = nullptr;
  refuse("decoder", [&] { make_attention_model(undecided, no_decoder); });
  AttentionOptions prompt, factored_alone;
  prompt.key_query = KeyQuery::prompt;
  factored_alone.key_query = KeyQuery::factored;
  factored_alone.rank = 2;
  for (AttentionOptions stored : {joint_options(), prompt, factored_alone}) {
    stored.token_storage = StoredType::bf16;
    refuse("token_storage", [&] { make_attention_model(convert<float>(data).view(), stored); });
  }

  const auto model = make_attention_model(data.view(), joint_options());
  const auto state = normal_state<double>(*model, 0.1, 1);
  const auto refuse_options = [&](const std::string& word, auto change) {
    refuse(word, [&] {
      TrainerOptions options = model_options("ngd", 5);
      change(options);
      auto copy = state;
      train(*model, copy, options);
    });
  };
  using O = TrainerOptions;
  refuse_options("batch_size: 7", [](O& o) { o.batch_size = 7; });
  refuse_options("rules: 0", [](O& o) { o.rules.clear(); });
  refuse_options("rules: 3", [](O& o) { o.rules.resize(3); });
  refuse_options("rules: 2", [](O& o) {
    o.rules.resize(2);
    o.normalization = Normalization::joint;
  });
  refuse_options("step-size", [](O& o) { o.rules[0].options["step-size"] = NAN; });
  refuse_options("schedule-power", [](O& o) { o.rules[0].options["schedule-power"] = INFINITY; });
  refuse_options("weights has 63", [](O& o) { o.references = {std::vector<double>(63, 1.0)}; });
  refuse_options("decoder has 7", [](O& o) { o.references = {{}, std::vector<double>(7, 1.0)}; });
  refuse_options("references: 3", [](O& o) { o.references.resize(3); });
  refuse_options("references", [](O& o) { o.references = {{}, std::vector<double>(8, NAN)}; });
  refuse_options("stop_one_minus_cos", [](O& o) { o.stop_one_minus_cos = 1e-3; });
  for (const RuleInfo& info : step_rules())
    if (!make_step_rule<double>({info.name, {}})->moves_along_gradient())
      refuse_options("joint does not go with rule " + info.name, [&](O& o) {
        o.rules[0].rule = info.name;
        o.normalization = Normalization::joint;
      });
  refuse("weights: 3", [&] {
    initial_state<double>(*model, {std::vector<double>(3), std::vector<double>(8)});
  });
  refuse("blocks: 1", [&] { initial_state<double>(*model, {std::vector<double>(64)}); });
  refuse("decoder: entry 2", [&] {
    std::vector<double> u(8, 0.0);
    u[2] = INFINITY;
    initial_state<double>(*model, {std::vector<double>(64), u});
  });
  refuse("std", [&] { normal_state<double>(*model, -1.0, 0); });
  refuse("normalization", [] { parse_normalization("equal"); });
  auto poisoned = state;
  poisoned.blocks[1][0] = NAN;
  refuse("decoder is not finite", [&] { train(*model, poisoned, model_options("ngd", 1)); });

  const TemporaryFile file("softstep-model-refused");
  const auto saved = model_options("ngd", 5);
  save_state(file.path, *model, state, saved);
  CHECK_NOTHROW(load_state<double>(file.path, *model, saved));
  refuse("rules", [&] { load_state<double>(file.path, *model, model_options("gd", 5)); });
  auto other = saved;
  other.batch_size = 2;
  refuse("batches", [&] { load_state<double>(file.path, *model, other); });
  const auto factored = make_attention_model(data.view(), joint_options(KeyQuery::factored, 2));
  refuse("and cannot go on with attention of K,Q and u",
         [&] { load_state<double>(file.path, *factored, saved); });
  const Dataset<float> narrow = convert<float>(data);
  const auto in_float = make_attention_model(narrow.view(), joint_options());
  refuse("saved with model", [&] { load_state<float>(file.path, *in_float, saved); });
  // Models that do not say who they are.
  save_state<double>(file.path, Disguised<double>(*model), state, saved);
  CHECK_NOTHROW(load_state<double>(file.path, Disguised<double>(*model), saved));
  refuse("keys", [&] { load_state<double>(file.path, Disguised<double>(*factored), saved); });
  refuse("precision", [&] { load_state<float>(file.path, Disguised<float>(*in_float), saved); });
}

TEMPLATE_TEST_CASE("any number of threads gives a model's run the same bits", "[models]", float, double) {
  using T = TestType;
  // Large enough that threads start, for the tokens and for the product.
  constexpr std::size_t n = 60, n_tokens = 72, d = 250;
  const Dataset<T> data = convert<T>(signal_noise(5, n, n_tokens, d));
  TrainState<T> first;
  for (const int n_threads : {1, 2, 3}) {
    AttentionOptions kind = joint_options();
    kind.n_threads = n_threads;
    const auto model = make_attention_model(data.view(), kind);
    auto state = normal_state<T>(*model, 0.1, 6);
    train(*model, state, model_options("ngd", 5));
    if (n_threads == 1) first = state;
    INFO(n_threads << " threads");
    for (std::size_t k = 0; k < first.blocks.size(); ++k) CHECK(same_bits(state.blocks[k], first.blocks[k]));
  }
}
