// A step that is refused has not happened: the state is the one before it, to the byte, whatever the rule,
// the model and the form, and whatever other blocks would have done.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "models/model_runs.h"
#include "support/batches.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::same_bits;
using softstep::test::TestBatch;

namespace {

template <class T>
void require_same(const TrainState<T>& a, const TrainState<T>& b) {
  REQUIRE(a.step == b.step);
  REQUIRE(a.blocks.size() == b.blocks.size());
  REQUIRE(a.masters.size() == b.masters.size());
  REQUIRE(a.rule_states.size() == b.rule_states.size());
  for (std::size_t k = 0; k < a.blocks.size(); ++k) {
    INFO("block " << k);
    REQUIRE(same_bits(a.blocks[k], b.blocks[k]));
    REQUIRE(same_bits(a.masters[k], b.masters[k]));
    REQUIRE(a.rule_states[k].values.size() == b.rule_states[k].values.size());
    for (const auto& [name, values] : a.rule_states[k].values) {
      INFO(name);
      REQUIRE(b.rule_states[k].values.count(name) == 1);
      REQUIRE(same_bits(values, b.rule_states[k].values.at(name)));
    }
  }
  REQUIRE(a.span.form == b.span.form);
  REQUIRE(same_bits(a.span.base, b.span.base));
  REQUIRE(same_bits(a.span.coefficients, b.span.coefficients));
  REQUIRE(same_bits(a.span.projected, b.span.projected));
}

enum class Data { usual, zero };
// One kind of model, on the usual data or on tokens that are all zero, where every gradient is. Default
// options: L* 0, or that of the best tokens where the decoder is fixed.
template <class T>
struct Kind {
  std::string name;
  bool is_attention = true, has_value = true;
  AttentionOptions attention = {};
  Form form = Form::automatic;
  MasterWeights master = MasterWeights::working;
  Normalization normalization = Normalization::separate;
  std::size_t batch_size = 0;
  const TestBatch<T>*batch = nullptr, *zero_batch = nullptr;
  const NextTokenData* tokens = nullptr;

  std::unique_ptr<Model<T>> make(Data data = Data::usual) const { return make(data, nullptr); }
  std::unique_ptr<Model<T>> make_with(double optimal_loss) const { return make(Data::usual, &optimal_loss); }

  bool goes_with(const StepRule<T>& rule) const {
    return rule.moves_along_gradient() ||
           (form != Form::query_span && form != Form::token_span && normalization == Normalization::separate);
  }
  TrainerOptions options(const RuleSettings& rule, std::int64_t n_steps) const {
    TrainerOptions out;
    out.rules = {rule};
    out.n_steps = n_steps;
    // The state is then written after the refusal, not at a row just before.
    out.trace_rows_per_decade = 0;
    out.form = form;
    out.normalization = normalization;
    out.batch_size = batch_size;
    out.batch_seed = 3;
    return out;
  }

 private:
  std::unique_ptr<Model<T>> make(Data data, const double* optimal_loss) const {
    if (tokens != nullptr) return make_next_token_model<T>(*tokens);
    const BatchView<T>& view = (data == Data::zero ? zero_batch : batch)->view;
    if (!is_attention) {
      LinearOptions linear;
      if (optimal_loss != nullptr) {
        linear.optimal_loss = OptimalLoss::value;
        linear.optimal_loss_value = *optimal_loss;
      }
      return make_linear_model(view, linear);
    }
    AttentionOptions chosen = attention;
    if (optimal_loss != nullptr) {
      chosen.optimal_loss = OptimalLoss::value;
      chosen.optimal_loss_value = *optimal_loss;
    }
    return make_attention_model(view, chosen);
  }
};

template <class T>
void fill_with_zeros(TestBatch<T>& batch) {
  for (T& x : batch.tokens) x = T(0);
}

// All kinds of models; body(kind).
template <class T, class Body>
void for_each_kind(Body&& body) {
  const TestBatch<T> batch({{3, 3, 3, 3}, 6}, 5);
  TestBatch<T> zeros({{3, 3, 3, 3}, 6}, 5);
  fill_with_zeros(zeros);
  const NextTokenData tokens = next_token_example(4, 7, 6, 3, 1);
  const auto joint = softstep::test::joint_options;
  AttentionOptions prompt, factored;
  prompt.key_query = KeyQuery::prompt;
  factored.key_query = KeyQuery::factored;
  factored.rank = 2;
  const std::vector<std::pair<std::string, AttentionOptions>> attention = {
      {"W", {}},
      {"p", prompt},
      {"K, Q", factored},
      {"W, u", joint(KeyQuery::combined, 0)},
      {"p, u", joint(KeyQuery::prompt, 0)},
      {"K, Q, u", joint(KeyQuery::factored, 3)}};
  std::vector<Kind<T>> kinds;
  const auto add = [&](Kind<T> kind) {
    kind.batch = &batch;
    kind.zero_batch = &zeros;
    kinds.push_back(kind);
  };
  for (const auto& [name, options] : attention) {
    add({.name = name, .attention = options});
    add({.name = name + " in double", .attention = options, .master = MasterWeights::float64});
    add({.name = name + " jointly", .attention = options, .normalization = Normalization::joint});
    add({.name = name + " on batches", .attention = options, .batch_size = 3});
  }
  for (const Form form : {Form::dense, Form::query_span, Form::token_span})
    add({.name = std::string("W ") + to_string(form), .form = form});
  add({.name = "linear", .is_attention = false});
  add({.name = "linear in double", .is_attention = false, .master = MasterWeights::float64});
  add({.name = "next token", .is_attention = false, .has_value = false, .tokens = &tokens});
  for (const Kind<T>& kind : kinds) body(kind);
}

constexpr double huge = 1.7e308;
bool has_option(const RuleInfo& info, const std::string& name) {
  for (const RuleOptionInfo& option : info.options)
    if (option.name == name) return true;
  return false;
}
bool has_step_size(const RuleInfo& info) { return has_option(info, "step-size"); }

// The largest step a rule can be told to take, for rules without a step size with a gap that is as large.
RuleSettings largest_step(const RuleInfo& info) {
  RuleSettings settings{info.name, {}};
  if (has_step_size(info)) settings.options["step-size"] = huge;
  if (has_option(info, "factor")) settings.options["factor"] = 1.0 / huge;
  return settings;
}

// Three steps of a rule, so that there is something to remember. Polyak's of two factors may be too long to
// go on with.
template <class T>
TrainState<T> started(const Kind<T>& kind, const RuleInfo& info) {
  const auto model = kind.make();
  auto state = normal_state(*model, 0.5, 7, kind.master);
  train(*model, state, kind.options({info.name, {}}, 3));
  REQUIRE(state.step >= 1);
  return state;
}

// Another rule up to step 8, from there on with an outcome that is refused, whatever it has put into its next
// memory.
template <class T>
class Refused final : public StepRule<T> {
 public:
  using Outcome = typename Step<T>::Outcome;
  Refused(const std::string& rule, Outcome outcome)
      : inner_(make_step_rule<T>({rule, {}})), outcome_(outcome) {}
  std::string_view name() const override { return inner_->name(); }
  bool needs_loss_gap() const override { return inner_->needs_loss_gap(); }
  bool moves_along_gradient() const override { return inner_->moves_along_gradient(); }
  std::vector<RuleMemory> memory() const override { return inner_->memory(); }
  Step<T> propose(const StepContext<T>& context, const RuleState& memory, RuleState& next) const override {
    Step<T> step = inner_->propose(context, memory, next);
    if (context.iteration < 8) return step;
    step.outcome = outcome_;
    step.length = std::numeric_limits<double>::infinity();
    return step;
  }

 private:
  std::shared_ptr<const StepRule<T>> inner_;
  Outcome outcome_;
};

template <class T>
TrainStatus status_of(typename Step<T>::Outcome outcome) {
  return outcome == Step<T>::Outcome::moved        ? TrainStatus::not_finite
         : outcome == Step<T>::Outcome::stationary ? TrainStatus::stationary
                                                   : TrainStatus::gap_not_positive;
}

}  // namespace

TEMPLATE_TEST_CASE("a step refused in the middle of a run leaves the state of the step before", "[trainer]",
                   float, double) {
  using T = TestType;
  using Outcome = typename Step<T>::Outcome;
  std::size_t n_refused = 0;
  for_each_kind<T>([&](const Kind<T>& kind) {
    for (const RuleInfo& info : step_rules())
      for (const Outcome outcome : {Outcome::moved, Outcome::stationary, Outcome::gap_not_positive}) {
        if (!kind.goes_with(*make_step_rule<T>({info.name, {}}))) continue;
        if (kind.batch_size != 0 && outcome != Outcome::moved) continue;
        INFO(kind.name << ", " << info.name << ", " << to_string(status_of<T>(outcome)));
        const auto model = kind.make();
        const std::size_t n_blocks = model->blocks().size();
        const auto before = started(kind, info);
        // Refused by all blocks, and by the first or the last alone.
        for (std::size_t which = 0; which < 3; ++which) {
          if (which != 0 &&
              (n_blocks == 1 || outcome == Outcome::stationary || kind.normalization == Normalization::joint))
            continue;
          INFO("case " << which);
          TrainerOptions options = kind.options({info.name, {}}, 60);
          if (which != 0) options.rules.resize(n_blocks, options.rules[0]);
          (which == 2 ? options.rules.back() : options.rules.front()).object =
              std::make_shared<Refused<T>>(info.name, outcome);
          auto state = before, expected = before;
          const TrainSummary summary = train(*model, state, options);
          options.n_steps = summary.steps;
          train(*model, expected, options);
          require_same(state, expected);
          if (state.step != 8) continue;  // Polyak's of two factors ends before
          REQUIRE(summary.status == status_of<T>(outcome));
          ++n_refused;
        }
      }
  });
  CHECK(n_refused > 500);
}

TEMPLATE_TEST_CASE("a step that would not be finite leaves the state as it was", "[trainer]", float, double) {
  using T = TestType;
  for_each_kind<T>([&](const Kind<T>& kind) {
    for (const RuleInfo& info : step_rules()) {
      const auto rule = make_step_rule<T>({info.name, {}});
      if (!kind.goes_with(*rule) || (!has_step_size(info) && !kind.has_value)) continue;
      INFO(kind.name << ", " << info.name);
      const auto before = started(kind, info);
      const auto model = has_step_size(info) ? kind.make() : kind.make_with(-huge);
      const RuleSettings settings = largest_step(info);
      auto state = before;
      const TrainSummary summary = train(*model, state, kind.options(settings, 60));
      // In double the first such step may still be a number; these then have no gradient left to be long
      // along.
      const bool may_end =
          sizeof(T) == 8 && (info.name == "gd" || info.name == "sgd" || info.name == "decsps");
      if (!may_end) REQUIRE(summary.status == TrainStatus::not_finite);
      if (sizeof(T) == 4) REQUIRE(summary.steps == 0);
      auto expected = before;
      if (summary.steps != 0) train(*model, expected, kind.options(settings, summary.steps));
      require_same(state, expected);
    }
  });
}

TEMPLATE_TEST_CASE("a loss that is not above L* leaves the state as it was", "[trainer]", float, double) {
  using T = TestType;
  std::size_t n_refused = 0;
  for_each_kind<T>([&](const Kind<T>& kind) {
    for (const RuleInfo& info : step_rules()) {
      const auto rule = make_step_rule<T>({info.name, {}});
      if (!kind.goes_with(*rule) || !rule->needs_loss_gap() || !kind.has_value || kind.batch_size != 0)
        continue;
      INFO(kind.name << ", " << info.name);
      const auto before = started(kind, info);
      const auto model = kind.make_with(1e3);
      auto state = before;
      const TrainSummary summary = train(*model, state, kind.options({info.name, {}}, 5));
      // These two take steps of length zero.
      if (info.name == "momo" || info.name == "sps_plus") {
        REQUIRE(summary.status == TrainStatus::max_iterations);
        continue;
      }
      REQUIRE(summary.status == TrainStatus::gap_not_positive);
      REQUIRE(summary.steps == 0);
      require_same(state, before);
      ++n_refused;
    }
  });
  CHECK(n_refused > 0);
}

TEMPLATE_TEST_CASE("a gradient of exactly zero leaves the state as it was", "[trainer]", float, double) {
  using T = TestType;
  for_each_kind<T>([&](const Kind<T>& kind) {
    if (kind.tokens != nullptr || kind.batch_size != 0) return;  // never zero; no end
    for (const RuleInfo& info : step_rules()) {
      if (!kind.goes_with(*make_step_rule<T>({info.name, {}}))) continue;
      INFO(kind.name << ", " << info.name);
      const auto before = started(kind, info);
      const auto model = kind.make(Data::zero);
      auto state = before;
      const TrainSummary summary = train(*model, state, kind.options({info.name, {}}, 5));
      REQUIRE(summary.status == TrainStatus::stationary);
      REQUIRE(summary.steps == 0);
      require_same(state, before);
    }
  });
}

TEMPLATE_TEST_CASE("a dense run without the gradient that refuses a step leaves the state as it was",
                   "[trainer]", float, double) {
  using T = TestType;
  const Dataset<T> data = convert<T>(softstep::test::signal_noise(2, 9, 24, 130));
  AttentionOptions with_value;
  with_value.optimal_loss = OptimalLoss::value;
  for (const RuleInfo& info : step_rules()) {
    if (!make_step_rule<T>({info.name, {}})->moves_along_gradient()) continue;
    INFO(info.name);
    TrainerOptions options;
    options.form = Form::dense;
    options.trace_rows_per_decade = 0;
    options.n_steps = 3;
    options.rules = {{info.name, {}}};
    const AttentionModel<T> usual(data.view());
    auto before = normal_state(usual, 0.1, 7);
    train(usual, before, options);
    options.n_steps = 60;
    with_value.optimal_loss_value = has_step_size(info) ? 0.0 : -huge;
    options.rules = {largest_step(info)};
    const AttentionModel<T> model(data.view(), with_value);
    auto state = before, expected = before;
    const TrainSummary summary = train(model, state, options);
    if (sizeof(T) == 4) {
      REQUIRE(summary.status == TrainStatus::not_finite);
      REQUIRE(summary.steps == 0);
    }
    options.n_steps = summary.steps;
    if (summary.steps != 0) train(model, expected, options);
    require_same(state, expected);
  }
}

TEMPLATE_TEST_CASE("one block's step that is refused is a step that no block has taken", "[trainer]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{3, 3, 3, 3}, 6}, 5);
  AttentionOptions with_value = softstep::test::joint_options();
  with_value.optimal_loss = OptimalLoss::value;
  with_value.optimal_loss_value = 1e3;
  const auto usual = make_attention_model(batch.view, softstep::test::joint_options());
  const auto with_gap = make_attention_model(batch.view, with_value);
  for (const RuleInfo& info : step_rules())
    for (const MasterWeights master : {MasterWeights::working, MasterWeights::float64})
      for (const bool first : {true, false}) {
        INFO(info.name << (first ? " first" : " last"));
        const auto rules = [&](const RuleSettings& other) {
          const RuleSettings own{info.name, {}};
          TrainerOptions options;
          options.rules = first ? std::vector{own, other} : std::vector{other, own};
          options.n_steps = 3;
          options.trace_rows_per_decade = 0;
          return options;
        };
        auto before = normal_state(*usual, 0.1, 7, master);
        train(*usual, before, rules(parse_rule("ngd")));
        auto state = before;
        auto options = rules(parse_rule("ngd:step-size=1e308"));
        options.n_steps = 60;
        const TrainSummary summary = train(*usual, state, options);
        REQUIRE(summary.status == TrainStatus::not_finite);
        if (sizeof(T) == 4) REQUIRE(summary.steps == 0);
        auto expected = before;
        options.n_steps = summary.steps;
        if (summary.steps != 0) train(*usual, expected, options);
        require_same(state, expected);
        if (info.name == "adam")
          REQUIRE(state.rule_states[first ? 0 : 1].values.at("adam.steps")[0] ==
                  static_cast<double>(3 + summary.steps));

        state = before;
        REQUIRE(train(*with_gap, state, rules(parse_rule("polyak"))).status == TrainStatus::gap_not_positive);
        require_same(state, before);
      }
}

TEMPLATE_TEST_CASE("steps of length zero on batches count as below rounding, jointly too", "[trainer]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{3, 3, 3, 3}, 6}, 5);
  AttentionOptions how = softstep::test::joint_options();
  how.optimal_loss = OptimalLoss::value;
  how.optimal_loss_value = 1e3;  // above every loss
  const auto model = make_attention_model(batch.view, how);
  for (const Normalization normalization : {Normalization::separate, Normalization::joint}) {
    INFO(to_string(normalization));
    TrainerOptions options;
    options.rules = {{"polyak", {}}};
    options.normalization = normalization;
    options.batch_size = 2;
    options.n_steps = 6;
    TrainState<T> state = normal_state<T>(*model, 0.3, 7);
    const TrainSummary summary = train(*model, state, options);
    CHECK(summary.steps == 6);
    CHECK(summary.last.step_length == 0.0);
    CHECK(summary.steps_below_rounding == 6);
  }
}
