// The trainer of models: steps against plain formulas and against train(Objective), mini-batches, resumption, endings, and
// what it refuses.

#include <unistd.h>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "models/model_runs.h"
#include "objective/exact_objective.h"
#include "support/batches.h"
#include "trainer/runs.h"

using namespace softstep;
using namespace softstep::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& name)
      : path((std::filesystem::temp_directory_path() / (name + "." + std::to_string(getpid()))).string()) {}
  ~TemporaryFile() { std::filesystem::remove(path); }
};

AttentionModelOptions joint_options(KeyQuery key_query = KeyQuery::combined, std::size_t rank = 0) {
  AttentionModelOptions options;
  options.key_query = key_query;
  options.rank = rank;
  options.train_decoder = true;
  options.objective.optimal_loss = OptimalLoss::zero;
  return options;
}

template <class T>
std::vector<const T*> pointers(const std::vector<std::vector<T>>& blocks) {
  std::vector<const T*> out;
  for (const std::vector<T>& block : blocks) out.push_back(block.data());
  return out;
}

// |after - before - step|, and the rounding of one addition to each entry.
template <class T>
double distance(const std::vector<T>& before, const std::vector<T>& after, const std::vector<double>& step) {
  double squares = 0.0;
  for (std::size_t k = 0; k < before.size(); ++k)
    squares += std::pow(static_cast<double>(after[k]) - static_cast<double>(before[k]) - step[k], 2);
  return std::sqrt(squares);
}
template <class T>
double addition_error(const std::vector<T>& after) {
  return unit_roundoff<T> * frobenius_norm(after.data(), after.size());
}

// Notes which samples it is asked for.
template <class T>
class Recorder final : public Model<T> {
 public:
  explicit Recorder(Model<T>& inner) : inner_(inner) {}
  std::vector<std::vector<std::size_t>> seen;
  const std::vector<BlockShape>& blocks() const override { return inner_.blocks(); }
  std::size_t n_samples() const override { return inner_.n_samples(); }
  void evaluate(const std::vector<const T*>& at, ModelEvaluation<T>& out, unsigned want,
                SampleSet samples) override {
    if (samples.indices != nullptr) seen.emplace_back(samples.indices, samples.indices + samples.n);
    inner_.evaluate(at, out, want, samples);
  }
  const std::vector<Observable>& observables() const override { return inner_.observables(); }
  std::vector<double> observe(const std::vector<const double*>& at, std::size_t k) const override {
    return inner_.observe(at, k);
  }
  double optimal_loss() const override { return inner_.optimal_loss(); }
  const std::string& isa() const override { return inner_.isa(); }

 private:
  Model<T>& inner_;
};

}  // namespace

TEMPLATE_TEST_CASE("the combined model with a fixed decoder takes the steps of train(Objective)", "[models]",
                   float, double) {
  using T = TestType;
  const TestBatch<T> batch({{3, 3, 3}, 4}, 41);
  for (const char* rule : {"gd:step-size=3", "ngd:step-size=0.5,schedule-power=0.5", "polyak"}) {
    const auto model = make_attention_model(batch.view, AttentionModelOptions{});
    Objective<T> objective(batch.view);
    auto state = normal_state<T>(*model, 0.1, 3);
    for (int t = 0; t < 25; ++t) {
      INFO(rule << ", step " << t);
      ModelEvaluation<T> here;
      Evaluation<T> there;
      model->evaluate({state.blocks[0].data()}, here, want_all, {});
      objective.evaluate(state.blocks[0].data(), there);
      // The gap has the gradient's error of scores and exponents, and some roundings of its own.
      const double rounding = 1e2 * unit_roundoff<T> * (1.0 + std::fabs(there.gradient_exponent));
      TrainState<T> alone = initial_state<T>(nullptr, batch.view.dim);
      alone.weights = state.blocks[0];
      alone.step = state.step;
      const ExactObjective<T> exact(batch.view, state.blocks[0], Loss::logistic);
      REQUIRE(std::fabs(here.loss_gap.log10() - there.loss_gap.log10()) <=
              2.0 * (exact.gradient_bound.exponent + rounding));
      REQUIRE(std::fabs(here.loss - there.loss) <=
              2.0 * (exact.gradient_bound.exponent + rounding) * there.loss);
      TrainerOptions options;
      options.rule = parse_rule(rule);
      options.n_steps = 1;
      options.form = Form::dense;
      const TrainSummary one = train(objective, alone, options);
      const std::vector<T> before = state.blocks[0];
      const TracedRun run = run_model(*model, state, model_options(rule, 1));
      REQUIRE(run.summary.status == TrainStatus::max_iterations);
      REQUIRE(state.step == alone.step);
      // Both gradients are within the bound of the exact one in direction and length; Polyak's step also has the gap's
      // error, as large as twice that of the gradient's length.
      const double length = one.last.step_length,
                   bound = 2.0 * (exact.gradient_bound.direction + 4.0 * exact.gradient_bound.exponent);
      std::vector<double> step;
      for (std::size_t k = 0; k < before.size(); ++k)
        step.push_back(static_cast<double>(alone.weights[k]) - static_cast<double>(before[k]));
      REQUIRE(distance(before, state.blocks[0], step) <=
              bound * length + 2.0 * addition_error(alone.weights));
      REQUIRE(std::fabs(run.summary.last.step_length - length) <= bound * length);
    }
  }
}

TEMPLATE_TEST_CASE("under normalised steps every block moves by its own length", "[models]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{5, 5, 5, 5}, 7}, 42);
  for (const auto& [kind, rules] :
       {std::pair{joint_options(),
                  std::string("ngd:step-size=1,schedule-power=1;ngd:step-size=0.3,schedule-power=0.5")},
        std::pair{joint_options(KeyQuery::factored, 3),
                  std::string("ngd:step-size=0.5;ngd:step-size=0.25;ngd:step-size=0.1,schedule-power=0.5")},
        std::pair{joint_options(KeyQuery::prompt), std::string("ngd:step-size=2;ngd:step-size=1")}}) {
    const auto model = make_attention_model(batch.view, kind);
    auto state = normal_state<T>(*model, 0.1, 4);
    const auto rule_list = parse_rules(rules);
    for (int t = 0; t < 200; ++t) {
      const auto before = state.blocks;
      const TracedRun run = run_model(*model, state, model_options(rules, 1));
      REQUIRE(run.summary.status == TrainStatus::max_iterations);
      double all = 0.0;
      for (std::size_t k = 0; k < before.size(); ++k) {
        const auto& settings = rule_list[k].options;
        const double eta = settings.at("step-size"),
                     a = settings.count("schedule-power") != 0 ? settings.at("schedule-power") : 0.0,
                     length = eta * std::pow(t + 1.0, -a);
        all = std::hypot(all, length);
        INFO("block " << k << " step " << t);
        const double moved = distance(before[k], state.blocks[k], std::vector<double>(before[k].size(), 0.0));
        // The coefficient and each product are rounded once in T, the norm by a few units.
        REQUIRE(std::fabs(moved - length) <=
                (8.0 + static_cast<double>(before[k].size())) * unit_roundoff<T> * length +
                    addition_error(state.blocks[k]));
      }
      REQUIRE(std::fabs(run.summary.last.step_length - all) <= 1e-12 * all);
    }
    for (const auto& block : state.blocks)
      for (const T x : block) REQUIRE(std::isfinite(x));
  }
}

TEST_CASE("at u = 0 the decoder moves first", "[models]") {
  const Dataset<double> data = signal_noise(1);
  const auto model = make_attention_model(data.view(), joint_options());
  auto state = normal_state<double>(*model, 0.0, 0);
  train(*model, state, model_options("ngd", 1));
  CHECK(frobenius_norm(state.blocks[0].data(), state.blocks[0].size()) == 0.0);
  CHECK(std::fabs(frobenius_norm(state.blocks[1].data(), state.blocks[1].size()) - 1.0) <= 1e-14);
  train(*model, state, model_options("ngd", 1));
  CHECK(std::fabs(frobenius_norm(state.blocks[0].data(), state.blocks[0].size()) - 1.0) <= 1e-14);
}

TEMPLATE_TEST_CASE("joint normalisation divides every block by the norm of the whole gradient", "[models]",
                   float, double) {
  using T = TestType;
  const TestBatch<T> batch({{5, 5, 5}, 6}, 43);
  for (const AttentionModelOptions& kind : {joint_options(), joint_options(KeyQuery::factored, 2)})
    for (const char* rule : {"gd:step-size=2", "ngd:step-size=0.7", "polyak"}) {
      const auto model = make_attention_model(batch.view, kind);
      auto state = normal_state<T>(*model, 0.4, 5);
      for (int t = 0; t < 40; ++t) {
        INFO(rule << ", step " << t);
        const auto before = state.blocks;
        ModelEvaluation<T> at;
        model->evaluate(pointers(before), at, want_all, {});
        // Moderate weights: plain numbers hold everything.
        double squares = 0.0;
        for (const auto& g : at.gradients) squares += std::pow(g.norm * std::exp(g.exponent), 2);
        const double norm = std::sqrt(squares), gap = at.loss_gap.value();
        REQUIRE(norm > 0.0);
        const double coefficient =
            rule[0] == 'g' ? 2.0 : (rule[0] == 'n' ? 0.7 / norm : gap / (2.0 * norm * norm));
        auto options = model_options(rule, 1);
        options.normalization = Normalization::joint;
        const TracedRun run = run_model(*model, state, options);
        REQUIRE(run.summary.status == TrainStatus::max_iterations);
        REQUIRE(std::fabs(run.summary.last.step_length - coefficient * norm) <= 1e-12 * coefficient * norm);
        for (std::size_t k = 0; k < before.size(); ++k) {
          std::vector<double> step;
          for (const T g : at.gradients[k].values)
            step.push_back(-coefficient * std::exp(at.gradients[k].exponent) * static_cast<double>(g));
          // Coefficient and product are rounded once each.
          REQUIRE(distance(before[k], state.blocks[k], step) <=
                  4.0 * unit_roundoff<T> * frobenius_norm(step.data(), step.size()) +
                      addition_error(state.blocks[k]));
        }
      }
    }
}

TEMPLATE_TEST_CASE("a resumed run of a model has the bits of an uninterrupted one", "[models]", float,
                   double) {
  using T = TestType;
  const Dataset<T> data = convert<T>(signal_noise(5, 10, 6, 12));
  const TemporaryFile file("softstep-model-state");
  for (const AttentionModelOptions& kind : {joint_options(), joint_options(KeyQuery::factored, 4)})
    for (const RuleInfo& info : step_rules())
      for (const std::size_t batch_size : {std::size_t{0}, std::size_t{3}})
        for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64}) {
          INFO(info.name << ", batches of " << batch_size);
          const auto model = make_attention_model(data.view(), kind);
          ModelTrainerOptions options = model_options(info.name, 61);
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
    ModelTrainerOptions options = model_options("ngd:step-size=0.1", 0);
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
    CHECK(orders.size() == 4);
    CHECK(batches == seen(batch_size, 11, {n_steps}));
    CHECK(batches == seen(batch_size, 11, {1, n_steps - 3, 2}));
    CHECK(batches != seen(batch_size, 12, {n_steps}));
  }
  CHECK(seen(0, 11, {5}).empty());
  CHECK(seen(10, 11, {5}).empty());
}

TEST_CASE("K = Q = 0 is a stationary point, and the run says so at once", "[models]") {
  const Dataset<double> data = signal_noise(8, 6, 4, 8);
  AttentionModelOptions kind;
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
    AttentionModelOptions options = joint_options();
    options.objective.optimal_loss = mode;
    refuse("lstar", [&] { make_attention_model(data.view(), options); });
    refuse("lstar", [&] { make_logistic_model(data.view(), options.objective); });
  }
  AttentionModelOptions no_decoder;
  BatchView<double> undecided = data.view();
  undecided.decoder = nullptr;
  refuse("decoder", [&] { make_attention_model(undecided, no_decoder); });
  AttentionModelOptions stored;
  stored.objective.token_storage = StoredTokens::bf16;
  refuse("token_storage", [&] { make_attention_model(convert<float>(data).view(), stored); });

  const auto model = make_attention_model(data.view(), joint_options());
  const auto state = normal_state<double>(*model, 0.1, 1);
  const auto refuse_options = [&](const std::string& word, auto change) {
    refuse(word, [&] {
      ModelTrainerOptions options = model_options("ngd", 5);
      change(options);
      auto copy = state;
      train(*model, copy, options);
    });
  };
  using O = ModelTrainerOptions;
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
  refuse("keys", [&] { load_state<double>(file.path, *factored, saved); });
  const Dataset<float> narrow = convert<float>(data);
  const auto in_float = make_attention_model(narrow.view(), joint_options());
  refuse("precision", [&] { load_state<float>(file.path, *in_float, saved); });
}
