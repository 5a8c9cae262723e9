// A rule, a loss and a model of the caller's own get from the trainer what the library's get.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "softstep/softstep.h"
#include "support/batches.h"
#include "support/temporary_file.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// Normalised gradient descent with a memory: the step is 1 / (1 + number of steps before), along the
/// gradient.
template <class T>
class Slowing final : public StepRule<T> {
 public:
  std::string_view name() const override { return "slowing"; }
  std::vector<RuleMemory> memory() const override {
    return {{.name = "count", .size = 1}, {.name = "exponent", .size = 1}};
  }
  Step<T> propose(const StepContext<T>& context, const RuleState& memory, RuleState& next) const override {
    Step<T> step;
    if (!(context.gradient_norm > 0.0)) {
      step.outcome = Step<T>::Outcome::stationary;
      return step;
    }
    const auto count = memory.values.find("count");
    const double before = count == memory.values.end() ? 0.0 : count->second[0];
    next.values["count"] = {before + 1.0};
    next.values["exponent"] = {context.gradient_exponent};
    step.length = 1.0 / (1.0 + before);
    step.coefficient = step.length / context.gradient_norm;
    step.direction = context.gradient;
    return step;
  }
};

/// The logistic loss by its formulas, as somebody outside would write it.
class OwnLogistic final : public LossFunction {
 public:
  std::string name() const override { return "own-logistic"; }
  Scaled value(double m, double) const override {
    return m > 0.0 ? Scaled{std::log1p(std::exp(-m)), 0.0} : Scaled{std::log1p(std::exp(m)) - m, 0.0};
  }
  Scaled derivative(double m, double) const override {
    return m > 0.0 ? Scaled{-1.0 / (1.0 + std::exp(-m)), -m} : Scaled{-1.0 / (1.0 + std::exp(m)), 0.0};
  }
  Scaled second_derivative(double m, double) const override {
    const double p = 1.0 / (1.0 + std::exp(-std::fabs(m)));
    return {p * (1.0 - p), 0.0};
  }
  bool is_decreasing() const override { return true; }
};

/// (1/2) |w - c|^2 with a counter in its workspace that turns the gradient a little at each evaluation with
/// gradients.
class Counting final : public Model<double> {
 public:
  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return 1; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Counter>(); }

 protected:
  void evaluate_at(Point<double> at, Evaluation<double>& out, Workspace& space, unsigned want,
                   SampleSet) const override {
    auto& counter = static_cast<Counter&>(space);
    const double x = at[0][0] - 3.0, y = at[0][1] + 1.0;
    out.loss = 0.5 * (x * x + y * y);
    out.loss_scaled = out.loss_gap = {out.loss, 0.0};
    if ((want & want_gradient) == 0) return;
    const double turn = 0.01 * static_cast<double>(counter.n++);
    out.gradients.resize(1);
    const std::span<double> g = out.gradients[0].room(2);
    g[0] = std::cos(turn) * x - std::sin(turn) * y;
    g[1] = std::sin(turn) * x + std::cos(turn) * y;
    out.gradients[0].norm = std::hypot(g[0], g[1]);
  }

 private:
  struct Counter final : Workspace {
    int n = 0;
  };
  std::vector<BlockShape> blocks_ = {{"weights", 2, 1}};
};

template <class T>
TrainerOptions with_rule(std::int64_t n_steps) {
  return {.rules = {{.object = std::make_shared<Slowing<T>>()}}, .n_steps = n_steps};
}

}  // namespace

TEST_CASE("an own rule sees exponents, remembers, and resumes to the bit", "[trainer]") {
  const TestBatch<double> batch({{4, 4, 4}, 5, 0, true}, 3);
  // With tokens of 1e-60 the gradient is far from 1: the exponent beside it is what the rule is told.
  for (const double scale : {1.0, 1e-60}) {
    const TestBatch<double> scaled({{4, 4, 4}, 5, 0, true}, 3, scale);
    const AttentionModel<double> model(scaled.view);
    auto whole = normal_state(model, 0.1, 5), half = whole;
    train(model, whole, with_rule<double>(40));
    REQUIRE(whole.rule_states[0].values.at("count")[0] == 40.0);
    const double exponent = whole.rule_states[0].values.at("exponent")[0];
    REQUIRE(std::isfinite(exponent));

    const TemporaryFile file("own.state");
    train(model, half, with_rule<double>(15));
    save_state(file.path, model, half, with_rule<double>(25));
    auto resumed = load_state(file.path, model, with_rule<double>(25));
    train(model, resumed, with_rule<double>(25));
    REQUIRE(resumed.blocks == whole.blocks);
    REQUIRE(resumed.rule_states[0].values == whole.rule_states[0].values);
    // Another rule does not go on from it.
    REQUIRE_THROWS_AS(load_state(file.path, model, TrainerOptions{}), InvalidArgument);
  }
  const AttentionModel<double> model(batch.view);
  auto state = initial_state(model);
  REQUIRE_THROWS_WITH(
      train(model, state, with_rule<float>(1)),
      Catch::Matchers::ContainsSubstring("slowing") && Catch::Matchers::ContainsSubstring("precision"));
  REQUIRE(state.step == 0);
}

// Where both are formulas of double, the two losses differ by rounding of the slopes: a few units of 1.1e-16
// each. The step is 1/||G||-normalised, so a step of length <= 1 turns by at most c u cond, with c = 16 for
// the sums over 3 samples of 4 tokens; errors of earlier steps grow at most by the map's Lipschitz constant,
// which for steps 1/t is at most t^L with L = |x||z| below 2: 40^2. 40 steps: 40 * 1600 * 16 u = 1.1e-10.
TEST_CASE("an own logistic loss leads where the built-in one does", "[trainer]") {
  const TestBatch<double> batch({{4, 4, 4}, 5, 0, true}, 3);
  const AttentionModel<double> built_in(batch.view);
  AttentionOptions options;
  options.own_loss = std::make_shared<OwnLogistic>();
  const AttentionModel<double> own(batch.view, options);
  auto a = normal_state(built_in, 0.1, 5), b = a;
  const auto of_library = train(built_in, a, with_rule<double>(40));
  const auto of_caller = train(own, b, with_rule<double>(40));
  REQUIRE(std::fabs(of_library.last.loss - of_caller.last.loss) <= 1.1e-10);
  for (std::size_t k = 0; k < a.blocks[0].size(); ++k)
    REQUIRE(std::fabs(a.blocks[0][k] - b.blocks[0][k]) <= 1.1e-10);
}

// f_i = sum_t p_t u^T x_t by plain loops; loss and gradient of four tokens and five dimensions: 64 rounding
// units.
TEST_CASE("the squared loss on real targets is its plain formula", "[trainer]") {
  TestBatch<double> batch({{4, 4, 4}, 5, 0, false}, 3);
  const std::vector<double> targets = {0.25, -1.5, 2.0};
  batch.view.labels = nullptr;
  batch.view.targets = targets.data();
  AttentionOptions options;
  options.loss = Loss::squared;
  options.optimal_loss = OptimalLoss::zero;
  const AttentionModel<double> model(batch.view, options);
  const auto state = normal_state(model, 1.0, 5);
  const std::vector<double>& w = state.blocks[0];
  const std::size_t d = 5;
  double loss = 0.0;
  std::vector<double> gradient(d * d, 0.0);
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<double> p(4), value(4, 0.0);
    double mass = 0.0, f = 0.0;
    for (std::size_t t = 0; t < 4; ++t) {
      const double* x = batch.view.sample(i) + t * d;
      double score = 0.0;
      for (std::size_t r = 0; r < d; ++r) {
        value[t] += x[r] * batch.decoder[r];
        for (std::size_t c = 0; c < d; ++c) score += x[r] * w[r * d + c] * batch.view.query(i)[c];
      }
      mass += p[t] = std::exp(score);
    }
    for (std::size_t t = 0; t < 4; ++t) f += (p[t] /= mass) * value[t];
    loss += 0.5 * (f - targets[i]) * (f - targets[i]) / 3.0;
    for (std::size_t t = 0; t < 4; ++t)
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c)
          gradient[r * d + c] += (f - targets[i]) / 3.0 * p[t] * (value[t] - f) *
                                 batch.view.sample(i)[t * d + r] * batch.view.query(i)[c];
  }
  Evaluation<double> out;
  const auto space = model.make_workspace();
  model.evaluate(views_of(state.blocks), out, *space);
  const double bound = 64 * 1.2e-16;
  REQUIRE(std::fabs(out.loss - loss) <= bound * loss);
  REQUIRE(std::fabs(out.loss_gap.value() - loss) <= bound * loss);
  std::vector<double> plain(d * d);
  REQUIRE_FALSE(out.gradients[0].plain(plain));
  for (std::size_t k = 0; k < d * d; ++k)
    REQUIRE(std::fabs(plain[k] - gradient[k]) <= bound * out.gradients[0].norm_scaled().value());
}

TEST_CASE("a model that counts its evaluations sees the same ones with and without a trace", "[trainer]") {
  const Counting model;
  std::vector<std::vector<double>> ends;
  for (const int rows : {0, 1, 20}) {
    TrainerOptions options = with_rule<double>(200);
    options.trace_rows_per_decade = rows;
    int n_rows = 0;
    options.trace = [&](const TraceRecord&) { return ++n_rows > 0; };
    auto state = initial_state(model);
    train(model, state, options);
    REQUIRE(n_rows >= 2 + rows);
    ends.push_back(state.blocks[0]);
  }
  REQUIRE(ends[0] == ends[1]);
  REQUIRE(ends[0] == ends[2]);
}
