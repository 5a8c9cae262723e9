// The public gradient checker passes what the library ships and fails what is planted.
//
// Tolerances: check_gradient's own, 1e-6 and 1e-3. Measured errors are far below; a planted fault is far
// above.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "softstep/softstep.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
std::vector<std::vector<T>> random_blocks(const Model<T>& model, double std, std::uint64_t seed) {
  return normal_state(model, std, seed).blocks;
}

/// Another model with something done to its gradients.
class Spoiled final : public Model<double> {
 public:
  using Spoil = std::function<void(Evaluation<double>&)>;
  Spoiled(const Model<double>& model, Spoil spoil) : model_(model), spoil_(std::move(spoil)) {}
  const std::vector<BlockShape>& blocks() const override { return model_.blocks(); }
  std::size_t n_samples() const override { return model_.n_samples(); }
  std::unique_ptr<Workspace> make_workspace() const override { return model_.make_workspace(); }

 protected:
  void evaluate_at(Point<double> at, Evaluation<double>& out, Workspace& space, unsigned want,
                   SampleSet samples) const override {
    model_.evaluate(at, out, space, want, samples);
    if ((want & want_gradient) != 0) spoil_(out);
  }

 private:
  const Model<double>& model_;
  Spoil spoil_;
};

template <class T>
void check_passes(const Model<T>& model, double std, std::uint64_t seed,
                  const GradientCheckOptions& options = {}) {
  const GradientCheck check = check_gradient(model, random_blocks(model, std, seed), options);
  INFO(check.report());
  REQUIRE(check.passed);
  REQUIRE(check.blocks.size() == model.blocks().size());
  for (const BlockGradientCheck& block : check.blocks) {
    REQUIRE(block.relative_error <= check.tolerance);
    // The differences say of themselves that they can judge.
    REQUIRE(block.difference_error <= check.tolerance);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the gradient check passes every model of the library", "[models]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{4, 4, 4, 4}, 5, 0, true}, 7);
  for (const KeyQuery key_query : {KeyQuery::combined, KeyQuery::factored, KeyQuery::prompt})
    for (const bool train_decoder : {false, true})
      for (const Loss loss : {Loss::logistic, Loss::exponential}) {
        AttentionOptions options;
        options.key_query = key_query;
        options.rank = key_query == KeyQuery::factored ? 2 : 0;
        options.train_decoder = train_decoder;
        options.loss = loss;
        options.optimal_loss = train_decoder ? OptimalLoss::zero : OptimalLoss::optimal;
        const auto model = make_attention_model<T>(batch.view, options);
        check_passes<T>(*model, 1.0, 3);
        const std::vector<std::size_t> some = {0, 2};
        GradientCheckOptions on_some;
        on_some.samples = {some};
        check_passes<T>(*model, 1.0, 4, on_some);
      }
  for (const Loss loss : {Loss::logistic, Loss::exponential, Loss::squared}) {
    const auto model = make_linear_model<T>(batch.view, {.loss = loss});
    check_passes<T>(*model, 1.0, 5);
  }
  for (const bool train_outer : {false, true}) {
    const std::vector<double> outer =
        train_outer ? std::vector<double>{} : std::vector<double>{1.0, -0.5, 2.0};
    for (const Loss loss : {Loss::logistic, Loss::exponential, Loss::squared}) {
      ReluOptions network;
      network.n_neurons = 3;
      network.outer = outer;
      network.loss = loss;
      check_passes<T>(*make_relu_model<T>(batch.view, network), 1.0, 9);
    }
    ReluOptions network;
    network.n_neurons = 3;
    network.outer = outer;
    network.own_loss = make_correlation_loss();
    check_passes<T>(*make_relu_model<T>(batch.view, network), 1.0, 9);
    check_passes<T>(
        *make_relu_population_model<T>({2, {1.0, 0.5, -1.0, 0.0}, {0.5, 0.5}, {1, -1}, 0.5}, 3, outer), 1.0,
        11);
  }
  for (const InContextOptions& heads :
       {InContextOptions{HeadForm::merged, 2, 1, ""}, InContextOptions{HeadForm::separate, 2, 2, ""}})
    check_passes<T>(*make_in_context_model<T>({{1.0, 0.5, 0.25}, 3}, heads), 1.0, 13);
  for (const ExampleWeights weights : {ExampleWeights::free, ExampleWeights::gated})
    check_passes<T>(*make_gated_model<T>({{1.0, 0.5}, {2, 3}, {0.5, 0.9}, 0.1}, {weights, {}, ""}), 1.0, 14);
  // Numbers at which differences can judge: where w is small, those of w^2 are too coarse in float32, and
  // where it is large the loss is flat on both sides.
  check_passes<T>(*make_induction_model<T>(induction_data(6, 7, 1.0, 1.0, 1)), 0.7, 23);
  check_passes<T>(*make_multiclass_model<T>(class_clouds(3, 5, 2, 0.1, 1)), 1.0, 12);
  // The gradient of its block "margin" is that within the space which the block belongs to, so it is not one
  // of single entries.
  const auto next_token = make_next_token_model<T>(next_token_example(3, 5, 4, 2, 1));
  const GradientCheck check = check_gradient(*next_token, random_blocks(*next_token, 1.0, 8));
  INFO(check.report());
  REQUIRE(check.blocks[0].passed);
  REQUIRE(check.blocks[0].difference_error <= check.tolerance);
  AttentionOptions squared;
  squared.loss = Loss::squared;
  squared.optimal_loss = OptimalLoss::zero;
  check_passes<T>(*make_attention_model<T>(batch.view, squared), 1.0, 6);
}

TEST_CASE("the gradient check works where the plain loss has stalled", "[models]") {
  const TestBatch<double> batch({{4, 4, 4}, 6, 0, true}, 8);
  const AttentionModel<double> model(batch.view);
  // Far along the max-margin direction: the gap is 1e-100 and below, the loss is L* to its last digit.
  const MaxMarginResult solution = solve_max_margin(batch.view);
  REQUIRE(solution.status == MaxMarginStatus::optimal);
  for (const double norm : {250.0, 2500.0}) {
    std::vector<double> weights = solution.weights;
    for (double& w : weights) w *= norm;
    Evaluation<double> at;
    const auto space = model.make_workspace();
    const std::span<const double> block = weights;
    model.evaluate(Point<double>(&block, 1), at, *space);
    REQUIRE(at.loss_gap.log10() < -0.4 * norm);
    REQUIRE(at.loss_gap.log10() + std::log10(1.0 / at.loss) < -16.0);
    const GradientCheck check = check_gradient(model, Point<double>(&block, 1));
    INFO(check.report());
    REQUIRE(check.compared_with == "loss_gap");
    REQUIRE(check.passed);
    REQUIRE(check.blocks[0].difference_error <= check.tolerance);
  }
}

TEST_CASE("the gradient check passes where an entry of W moves the loss by little and then no further",
          "[models]") {
  GeneratorOptions options;  // entries far along which attention goes to one token of a sample
  options.dim = 20;
  const Dataset<double> data = generate(options);
  const AttentionModel<double> model(data.view());
  for (const double std : {0.0, 1e-6, 0.1, 1.0}) check_passes(model, std, 4);
}

TEST_CASE("the gradient check passes where steps change the tokens that L* is measured at", "[models]") {
  AttentionOptions options;
  options.optimal_loss = OptimalLoss::selected;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    const TestBatch<double> batch({{4, 3, 5}, 4, 0, true, false, true}, seed);
    const AttentionModel<double> model(batch.view, options);
    // At W = 0 all scores are tied, and no step leaves the first token the best of all.
    for (const double std : {0.0, 1e-3, 0.1, 1.0}) {
      CAPTURE(std);
      check_passes(model, std, seed);
      const Spoiled twice(model, [](Evaluation<double>& e) { e.gradients[0].exponent += std::log(2.0); });
      REQUIRE_FALSE(check_gradient(twice, random_blocks(model, std, seed)).passed);
    }
  }
}

TEST_CASE("the gradient check passes where the loss levels off to both sides alike", "[models]") {
  // Two opposite queries: with W far along either way each is at another of the first two tokens, whose mean
  // is the same. The scores hardly move the loss, so that steps become as long as there are any.
  const std::vector<double> tokens = {1, 0, -1, 1, 0.25, 3}, queries = {1, 0, -1, 0}, decoder = {0, 0.05};
  const std::vector<std::int8_t> labels = {1};
  BatchView<double> batch;
  batch.tokens = tokens.data();
  batch.n_samples = 1;
  batch.n_tokens = 3;
  batch.dim = 2;
  batch.labels = labels.data();
  batch.decoder = decoder.data();
  batch.queries = queries.data();
  batch.n_queries = 2;
  AttentionOptions options;
  options.optimal_loss = OptimalLoss::zero;
  const AttentionModel<double> model(batch, options);
  for (const double w : {0.0, 0.1, 1.0, 2.0}) {
    CAPTURE(w);
    const std::vector<std::vector<double>> at = {{w, 0, 0.1, 0}};
    const GradientCheck check = check_gradient(model, at);
    INFO(check.report());
    REQUIRE(check.passed);
    REQUIRE(check.blocks[0].difference_error <= check.tolerance);
    // What the differences came to before the step was made smaller.
    const Spoiled zero(model, [](Evaluation<double>& e) {
      e.gradients[0].values.assign(4, 0.0);
      e.gradients[0].norm = 0.0;
    });
    REQUIRE_FALSE(check_gradient(zero, at).passed);
  }
}

TEST_CASE("the gradient check is independent of the scale of the data", "[models]") {
  for (const double scale : {1e-40, 1e-3, 1e3, 1e40}) {
    const TestBatch<double> batch({{3, 3, 3}, 4, 0, true}, 9, scale);
    const AttentionModel<double> model(batch.view);
    const auto at = random_blocks(model, 1.0 / (scale * scale), 3);
    const GradientCheck check = check_gradient(model, at);
    INFO(check.report());
    REQUIRE(check.passed);
    const GradientCheck at_zero = check_gradient(model, initial_state(model).blocks);
    INFO(at_zero.report());
    REQUIRE(at_zero.passed);
    REQUIRE(at_zero.blocks[0].difference_error <= at_zero.tolerance);
  }
}

TEST_CASE("the gradient check fails what is planted", "[models]") {
  const TestBatch<double> batch({{4, 4, 4, 4}, 5, 0, true}, 7);
  AttentionOptions options;
  options.train_decoder = true;
  options.optimal_loss = OptimalLoss::zero;
  const AttentionModel<double> good(batch.view, options);
  const auto at = random_blocks(good, 1.0, 3);
  const auto check_of = [&](Spoiled::Spoil spoil) {
    const Spoiled spoiled(good, std::move(spoil));
    return check_gradient(spoiled, at);
  };
  REQUIRE(check_of([](auto&) {}).passed);

  struct Fault {
    const char* name;
    Spoiled::Spoil spoil;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Fault> faults = {
      {"one wrong entry", [](auto& e) { e.gradients[0].values[7] += 1e-4 * e.gradients[0].norm; }},
      {"one wrong sign", [](auto& e) { e.gradients[0].values[3] *= -1.0; }},
      {"all signs",
       [](auto& e) {
         for (double& x : e.gradients[0].values) x = -x;
       }},
      {"no factor 1/n",
       [](auto& e) {
         for (double& x : e.gradients[0].values) x *= 4.0;
         e.gradients[0].norm *= 4.0;
       }},
      {"factor of 1 + 1e-5",
       [](auto& e) {
         for (double& x : e.gradients[0].values) x *= 1.00001;
       }},
      {"exponent", [](auto& e) { e.gradients[0].exponent -= 1.0; }},
      {"exponent far off", [](auto& e) { e.gradients[0].exponent += 2000.0; }},
      {"exponent far below", [](auto& e) { e.gradients[0].exponent -= 2000.0; }},
      {"norm alone", [](auto& e) { e.gradients[0].norm *= 1.001; }},
      {"zero",
       [](auto& e) {
         for (double& x : e.gradients[0].values) x = 0.0;
         e.gradients[0].norm = 0.0;
       }},
      {"NaN", [nan](auto& e) { e.gradients[0].values[2] = nan; }},
      {"NaN exponent", [nan](auto& e) { e.gradients[0].exponent = nan; }},
      {"infinity", [](auto& e) { e.gradients[0].values[2] = std::numeric_limits<double>::infinity(); }},
      {"size", [](auto& e) { e.gradients[0].values.pop_back(); }}};
  for (const Fault& fault : faults) {
    const GradientCheck check = check_of(fault.spoil);
    INFO(fault.name << "\n" << check.report());
    REQUIRE_FALSE(check.passed);
    REQUIRE_FALSE(check.blocks[0].passed);
    REQUIRE(check.blocks[1].passed);
    REQUIRE(check.report().find("WRONG") != std::string::npos);
  }
  REQUIRE_FALSE(check_of([](auto& e) { e.gradients.pop_back(); }).passed);

  const GradientCheck one = check_of(faults[0].spoil);
  REQUIRE(one.blocks[0].worst_row * 5 + one.blocks[0].worst_column == 7);

  // A point that is not finite has no gradient that could be right.
  auto broken = at;
  broken[0][0] = nan;
  REQUIRE_FALSE(check_gradient(good, broken).passed);
}

TEST_CASE("the gradient check ends where the loss jumps", "[models]") {
  // At 0, which has a thousand halvings: no step is so small that the loss does not change by all of itself.
  class Jump final : public Model<double> {
   public:
    const std::vector<BlockShape>& blocks() const override { return blocks_; }
    std::size_t n_samples() const override { return 1; }
    std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Workspace>(); }
    mutable std::size_t n_evaluations = 0;

   protected:
    void evaluate_at(Point<double> at, Evaluation<double>& out, Workspace&, unsigned want,
                     SampleSet) const override {
      ++n_evaluations;
      out.loss = at[0][0] > 0.0 ? 2.0 : 1.0;
      if ((want & want_gradient) == 0) return;
      out.gradients.resize(1);
      out.gradients[0].values = {1.0};
      out.gradients[0].norm = 1.0;
    }

   private:
    std::vector<BlockShape> blocks_ = {{"w", 1, 1}};
  };
  const Jump jump;
  const GradientCheck check = check_gradient(jump, {{0.0}});
  REQUIRE_FALSE(check.passed);
  REQUIRE(jump.n_evaluations <= 500);
}

TEST_CASE("the gradient check takes some entries, and refuses bad options", "[models]") {
  const TestBatch<double> batch({{4, 4, 4, 4}, 5, 0, true}, 7);
  const AttentionModel<double> model(batch.view);
  const auto at = random_blocks(model, 1.0, 3);
  const GradientCheck check = check_gradient(model, at, {.max_entries = 6});
  REQUIRE(check.passed);
  REQUIRE(check.blocks[0].n_entries == 6);
  REQUIRE_THROWS_AS(check_gradient(model, at, {.tolerance = -1.0}), InvalidArgument);
  REQUIRE_THROWS_AS(check_gradient(model, at, {.tolerance = std::numeric_limits<double>::quiet_NaN()}),
                    InvalidArgument);
  REQUIRE_THROWS_AS(check_gradient(model, {{1.0}}), InvalidArgument);
}
