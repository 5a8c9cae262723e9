// The steps of the trainer on any model, against plain formulas and against those of the forms of an
// AttentionModel.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "layer/exact_objective.h"
#include "models/model_runs.h"
#include "support/batches.h"
#include "trainer/runs.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// |after - before - step|, and the rounding of one addition to each entry.
template <class T>
double distance(const std::vector<T>& before, const std::vector<T>& after, const std::vector<double>& step) {
  double squares = 0.0;
  for (std::size_t k = 0; k < before.size(); ++k)
    squares += std::pow(static_cast<double>(after[k]) - static_cast<double>(before[k]) - step[k], 2);
  return std::sqrt(squares);
}
// What rounds weights to T: before a step too, where float32 keeps what was rounded off and adds it with the
// next step.
template <class T>
double addition_error(const std::vector<T>& after) {
  return unit_roundoff<T> * frobenius_norm(after);
}

}  // namespace

TEMPLATE_TEST_CASE("a model of one's own that computes what an AttentionModel does takes its steps",
                   "[models]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{3, 3, 3}, 4}, 41);
  for (const char* rule : {"gd:step-size=3", "ngd:step-size=0.5,schedule-power=0.5", "polyak"}) {
    AttentionModel<T> attention(batch.view);
    const auto model = std::make_unique<Disguised<T>>(attention);
    auto state = normal_state<T>(*model, 0.1, 3);
    for (int t = 0; t < 25; ++t) {
      INFO(rule << ", step " << t);
      Evaluation<T> here;
      Evaluation<T> there;
      model->evaluate(state.blocks, here);
      attention.evaluate(state.blocks[0], there);
      // The gap has the gradient's error of scores and exponents, and some roundings of its own.
      const double rounding = 1e2 * unit_roundoff<T> * (1.0 + std::fabs(there.gradients[0].exponent));
      TrainState<T> alone = initial_state(attention);
      alone.blocks[0] = state.blocks[0];
      alone.step = state.step;
      const ExactObjective<T> exact(batch.view, state.blocks[0], Loss::logistic);
      REQUIRE(std::fabs(here.loss_gap.log10() - there.loss_gap.log10()) <=
              2.0 * (exact.gradient_bound.exponent + rounding));
      REQUIRE(std::fabs(here.loss - there.loss) <=
              2.0 * (exact.gradient_bound.exponent + rounding) * there.loss);
      TrainerOptions options;
      options.rules = {parse_rule(rule)};
      options.n_steps = 1;
      options.form = Form::dense;
      const TrainSummary one = train(attention, alone, options);
      const std::vector<T> before = state.blocks[0];
      const TracedRun run = run_model(*model, state, model_options(rule, 1));
      REQUIRE(run.summary.status == TrainStatus::max_iterations);
      REQUIRE(state.step == alone.step);
      // Both gradients are within the bound of the exact one in direction and length; Polyak's step also has
      // the gap's error, as large as twice that of the gradient's length.
      const double length = one.last.step_length,
                   bound = 2.0 * (exact.gradient_bound.direction + 4.0 * exact.gradient_bound.exponent);
      std::vector<double> step;
      for (std::size_t k = 0; k < before.size(); ++k)
        step.push_back(static_cast<double>(alone.blocks[0][k]) - static_cast<double>(before[k]));
      REQUIRE(distance(before, state.blocks[0], step) <=
              bound * length + 2.0 * addition_error(alone.blocks[0]));
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
                    addition_error(before[k]) + addition_error(state.blocks[k]));
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
  CHECK(frobenius_norm(state.blocks[0]) == 0.0);
  CHECK(std::fabs(frobenius_norm(state.blocks[1]) - 1.0) <= 1e-14);
  train(*model, state, model_options("ngd", 1));
  CHECK(std::fabs(frobenius_norm(state.blocks[0]) - 1.0) <= 1e-14);
}

TEMPLATE_TEST_CASE("joint normalisation divides every block by the norm of the whole gradient", "[models]",
                   float, double) {
  using T = TestType;
  const TestBatch<T> batch({{5, 5, 5}, 6}, 43);
  for (const AttentionOptions& kind : {joint_options(), joint_options(KeyQuery::factored, 2)})
    for (const char* rule : {"gd:step-size=2", "ngd:step-size=0.7", "polyak"}) {
      const auto model = make_attention_model(batch.view, kind);
      auto state = normal_state<T>(*model, 0.4, 5);
      for (int t = 0; t < 40; ++t) {
        INFO(rule << ", step " << t);
        const auto before = state.blocks;
        Evaluation<T> at;
        model->evaluate(before, at);
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
                  4.0 * unit_roundoff<T> * frobenius_norm(step) + addition_error(before[k]) +
                      addition_error(state.blocks[k]));
        }
      }
    }
}
