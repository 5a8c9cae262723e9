// Runs side by side that train the decoder too: each step is the rule's, to what rounding can make of the
// gradients, and a run's bits are its own.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "models/exact_model.h"
#include "models/model_runs.h"
#include "support/batches.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::Exact;
using softstep::test::ExactModel;
using softstep::test::for_each_isa;
using softstep::test::Layout;
using softstep::test::same_bits;
using softstep::test::TestBatch;

namespace {

constexpr std::size_t n_blocks = 2;

template <class T>
struct JointRun {
  TestBatch<T> batch;
  AttentionModel<T> model;
  TrainerOptions options;
  TrainState<T> state;
  TrainSummary summary;
  std::vector<TraceRecord> trace;

  JointRun(const Layout& layout, std::uint64_t seed, const std::string& rules, std::int64_t n_steps,
           const AttentionOptions& how)
      : batch(layout, seed), model(batch.view, how) {
    options.rules = parse_rules(rules);
    options.n_steps = n_steps;
    options.trace = [this](const TraceRecord& row) {
      trace.push_back(row);
      return true;
    };
    reset();
  }
  void reset() {
    state = normal_state<T>(model, 0.3, 7);
    trace.clear();
  }
  ManyRun<T> run() { return {&model, &state, &options}; }
  TrainSummary take(std::int64_t n_steps) {
    options.n_steps = n_steps;
    const std::vector<ManyRun<T>> runs = {run()};
    REQUIRE(goes_side_by_side(runs[0]));
    return train_many<T>(runs)[0];
  }
};

AttentionOptions joint_model(const std::string& isa = "", Loss loss = Loss::logistic) {
  AttentionOptions how = softstep::test::joint_options();
  how.isa = isa;
  how.loss = loss;
  return how;
}

template <class T>
using Runs = std::vector<std::unique_ptr<JointRun<T>>>;

template <class T>
void run_many(const Runs<T>& runs, const std::vector<std::size_t>& order, int n_threads) {
  std::vector<ManyRun<T>> many;
  for (const std::size_t k : order) many.push_back(runs[k]->run());
  const std::vector<TrainSummary> summaries = train_many<T>(many, n_threads);
  for (std::size_t k = 0; k < order.size(); ++k) runs[order[k]]->summary = summaries[k];
}

template <class T>
bool same_numbers(const TrainState<T>& a, const TrainState<T>& b) {
  bool same = a.step == b.step && a.blocks.size() == b.blocks.size();
  for (std::size_t k = 0; same && k < a.blocks.size(); ++k)
    same = same_bits(a.blocks[k], b.blocks[k]) && same_bits(a.remainders[k], b.remainders[k]) &&
           a.rule_states[k].values == b.rule_states[k].values;
  return same;
}

// (what block k was - what it is) / step, of which what is kept beside it is a part.
template <class T>
std::vector<Exact> step_of(const TrainState<T>& before, const TrainState<T>& after, std::size_t k,
                           double step) {
  std::vector<Exact> out;
  for (std::size_t j = 0; j < after.blocks[k].size(); ++j) {
    Exact old = before.blocks[k][j], now = after.blocks[k][j];
    if (!after.remainders[k].empty()) now += Exact(after.remainders[k][j]);
    if (!after.remainders[k].empty() && !before.remainders[k].empty()) old += Exact(before.remainders[k][j]);
    out.push_back(Exact((old - now) / Exact(step)));
  }
  return out;
}

// Samples of one number of tokens, or not.
Layout layout_of(bool is_ragged) {
  Layout out;
  out.n_tokens = is_ragged ? std::vector<std::size_t>{3, 5, 2, 4} : std::vector<std::size_t>{5, 5, 5, 5};
  out.dim = 6;
  out.ragged = is_ragged;
  out.separate_queries = true;
  return out;
}

// Takes a step of normalised descent, which is the rule's to what rounding can make of the gradients. A bound
// that allows more than `most` would check nothing.
template <class T>
void check_step(JointRun<T>& run, double eta, const Exact& most) {
  const double u = softstep::test::unit_roundoff<T>;
  const TrainState<T> before = run.state;
  std::vector<std::size_t> all(run.batch.view.n_samples);
  std::iota(all.begin(), all.end(), std::size_t{0});
  const ExactModel<T> exact(run.batch.view, run.model.options(), before.blocks, all);
  run.take(1);
  Exact whole = 0, error_of_whole = 0;
  for (const auto& block : exact.blocks) whole += block.norm * block.norm;
  whole = sqrt(whole);
  // Of a unit vector, and of its length.
  const auto error_of = [&](std::size_t k) {
    const auto& bound = exact.blocks[k].bound;
    const double log_norm = static_cast<double>(log(exact.blocks[k].norm));
    return Exact(bound.direction +
                 1.01 * std::expm1(bound.exponent + 8 * 0x1p-53 * (1 + std::fabs(log_norm))));
  };
  for (std::size_t k = 0; k < n_blocks; ++k) error_of_whole = std::max(error_of_whole, error_of(k));
  for (std::size_t k = 0; k < n_blocks; ++k) {
    const bool is_joint = run.options.normalization == Normalization::joint;
    const Exact norm = is_joint ? whole : exact.blocks[k].norm;
    const Exact share = Exact(exact.blocks[k].norm / norm);
    const Exact relative = is_joint ? Exact(error_of(k) + error_of_whole) : error_of(k);
    const std::vector<Exact> found = step_of(before, run.state, k, eta);
    Exact squared = 0, rounding = 0;
    for (std::size_t j = 0; j < found.size(); ++j) {
      const Exact difference = found[j] - exact.blocks[k].gradient[j] / norm;
      squared += difference * difference;
      // New numbers are rounded once; where that is kept, it is itself, and the sum is one in double.
      const Exact size = abs(Exact(run.state.blocks[k][j])) + Exact(eta);
      const Exact of_entry = (sizeof(T) == 4 ? 2 * u * u + 4 * 0x1p-53 : 3 * u) * size / Exact(eta);
      rounding += of_entry * of_entry;
    }
    INFO("block " << k << " after " << before.step << " steps");
    const Exact allowed = relative * share + sqrt(rounding);
    CHECK(sqrt(squared) <= allowed);
    CHECK(allowed < most);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("joint steps side by side are the rule's, entry by entry", "[trainer]", float, double) {
  using T = TestType;
  for_each_isa([&](const simd::Isa& isa) {
    for (const bool is_ragged : {false, true})
      for (const Loss loss : {Loss::logistic, Loss::exponential})
        for (const Normalization normalization : {Normalization::separate, Normalization::joint}) {
          const AttentionOptions how = joint_model(isa.name, loss);
          JointRun<T> run(layout_of(is_ragged), 3, "ngd:step-size=0.25", 0, how);
          run.options.normalization = normalization;
          INFO(isa.name << (is_ragged ? " ragged" : "") << " loss " << static_cast<int>(loss));
          for (const std::int64_t steps : {0, 1, 9, 60}) {
            if (steps > 0) run.take(steps);
            check_step(run, 0.25, sizeof(T) == 4 ? 0.05 : 1e-9);
          }
        }
  });
}

TEMPLATE_TEST_CASE("a joint run side by side ends as it does alone", "[trainer]", float, double) {
  using T = TestType;
  for_each_isa([&](const simd::Isa& isa) {
    struct Ending {
      std::string rules;
      Normalization normalization;
      OptimalLoss optimal_loss;
    };
    for (const Ending& ending :
         {Ending{"gd:step-size=0.5", Normalization::separate, OptimalLoss::zero},
          {"ngd", Normalization::joint, OptimalLoss::zero},
          {"polyak", Normalization::joint, OptimalLoss::zero},
          {"polyak;ngd:schedule-power=0.5", Normalization::separate, OptimalLoss::value}}) {
      AttentionOptions how = joint_model(isa.name);
      how.optimal_loss = ending.optimal_loss;
      how.optimal_loss_value = 0.125;
      JointRun<T> run(layout_of(true), 5, ending.rules, 40, how);
      run.options.normalization = ending.normalization;
      TrainState<T> state = run.state;
      const TrainSummary alone = train(run.model, state, run.options);
      const std::vector<TraceRecord> trace_alone = run.trace;
      run.trace.clear();
      const TrainSummary many = run.take(40);
      INFO(isa.name << ' ' << ending.rules);
      CHECK(many.form == Form::dense);
      CHECK(many.status == alone.status);
      CHECK(many.steps == alone.steps);
      CHECK(run.trace.size() == trace_alone.size());
      // Two ways of one trajectory: the relative error of a step (n + d + 2 terms) is carried on, and adds up
      // over the steps at most, each of whose lengths is a part of what the blocks have become.
      const double bound = 40 * 4.0 * (4 + 6 + 2) * softstep::test::unit_roundoff<T>;
      for (std::size_t k = 0; k < n_blocks; ++k)
        CHECK(std::sqrt(2.0 * compare_direction(run.state.blocks[k], state.blocks[k]).one_minus_cos) <=
              bound);
      CHECK(std::fabs(many.last.weight_norm / alone.last.weight_norm - 1.0) <= bound);
      REQUIRE(many.last.others.size() == 1);
      CHECK(std::fabs(many.last.others[0].norm / alone.last.others[0].norm - 1.0) <= bound);
    }
  });
}

TEMPLATE_TEST_CASE("the bits of a joint run side by side are its own", "[trainer]", float, double) {
  using T = TestType;
  for_each_isa([&](const simd::Isa& isa) {
    Runs<T> runs;
    const std::vector<std::string> rules = {"gd:step-size=0.5", "ngd", "polyak", "ngd;gd:step-size=0.1"};
    for (std::size_t k = 0; k < 37; ++k)
      runs.push_back(std::make_unique<JointRun<T>>(layout_of(true), 100 + k, rules[k % rules.size()],
                                                   static_cast<std::int64_t>(20 + 7 * k % 50),
                                                   joint_model(isa.name)));
    std::vector<std::size_t> order(runs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    run_many(runs, order, 1);
    std::vector<TrainState<T>> expected;
    std::vector<TrainStatus> statuses;
    for (const auto& run : runs) {
      expected.push_back(run->state);
      statuses.push_back(run->summary.status);
    }
    INFO(isa.name);
    const auto are_same = [&] {
      bool same = true;
      for (const std::size_t k : order)
        same = same && same_numbers(runs[k]->state, expected[k]) && runs[k]->summary.status == statuses[k];
      return same;
    };
    // In another order, by two threads.
    std::reverse(order.begin(), order.end());
    for (const auto& run : runs) run->reset();
    run_many(runs, order, 2);
    CHECK(are_same());
    // Alone, and in two parts.
    order = {3, 8, 21};
    for (const std::size_t k : order) {
      runs[k]->reset();
      const std::int64_t whole = runs[k]->options.n_steps;
      const std::int64_t first = expected[k].step > 9 ? 9 : 0;
      if (first > 0) runs[k]->take(first);
      runs[k]->summary = runs[k]->take(whole - first);
    }
    CHECK(are_same());
  });
}

TEMPLATE_TEST_CASE("a joint run side by side is true far out", "[trainer]", float, double) {
  using T = TestType;
  // Steps so long that the gradients of both blocks are soon far below the number range.
  JointRun<T> run(layout_of(false), 11, "ngd:step-size=20", 0, joint_model());
  const TrainSummary far = run.take(400);
  CHECK(far.status == TrainStatus::max_iterations);
  CHECK(far.last.log10_gradient_norm < -400.0);
  check_step(run, 20.0, sizeof(T) == 4 ? 0.5 : 1e-8);
  // What rounding can make of a direction grows with the weights: further out the bound of float32 allows
  // all.
  run.take(sizeof(T) == 4 ? 200 : 2000);
  check_step(run, 20.0, sizeof(T) == 4 ? 0.5 : 1e-8);
}

TEST_CASE("a joint run whose scores leave the number range ends side by side as it does alone", "[trainer]") {
  // A decoder near the end of float32: scores of two large tokens overflow.
  JointRun<float> run(layout_of(false), 3, "gd:step-size=1e-3", 10, joint_model());
  for (float& u : run.state.blocks[1]) u = 3e38f;
  TrainState<float> state = run.state;
  const TrainSummary alone = train(run.model, state, run.options), many = run.take(10);
  CHECK(alone.status == TrainStatus::not_finite);
  CHECK(many.status == TrainStatus::not_finite);
  CHECK(many.steps == alone.steps);
  CHECK(same_bits(run.state.blocks[0], state.blocks[0]));
  // One token of many whose score is infinity less infinity, where the products are rounded.
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name);
    JointRun<float> odd(layout_of(false), 3, "gd:step-size=1e-3", 10, joint_model(isa.name));
    for (std::size_t k = 0; k < odd.batch.tokens.size(); ++k)
      if (k % 6 < 2) odd.batch.tokens[k] = 0.0f;
    odd.batch.tokens[0] = 2.0f;
    odd.batch.tokens[1] = -2.0f;
    odd.state.blocks[1][0] = odd.state.blocks[1][1] = 2.2e38f;
    state = odd.state;
    CHECK(train(odd.model, state, odd.options).status == TrainStatus::not_finite);
    CHECK(odd.take(10).status == TrainStatus::not_finite);
  });
  // A decoder that is nothing: W has no gradient, and u begins.
  for (float& u : run.state.blocks[1]) u = 0.0f;
  run.state.step = 0;
  const std::vector<float> w = run.state.blocks[0];
  const TrainSummary begun = run.take(1);
  CHECK(begun.status == TrainStatus::max_iterations);
  CHECK(same_bits(run.state.blocks[0], w));
  CHECK(frobenius_norm(run.state.blocks[1]) > 0.0);
}

TEMPLATE_TEST_CASE("a joint run of tiny tokens side by side goes as far as it does alone", "[trainer]", float,
                   double) {
  using T = TestType;
  // The decoder's gradient is as small as the tokens, and Polyak's coefficient the inverse of its square: no
  // number of T, while the step is one.
  const int power = -std::numeric_limits<T>::max_exponent * 9 / 16;
  JointRun<T> run(layout_of(true), 5, "gd:step-size=0.5;polyak", 3, joint_model());
  for (T& x : run.batch.tokens) x = std::ldexp(x, power);
  const AttentionModel<T> model(run.batch.view, joint_model());
  TrainState<T> state = run.state, other = run.state;
  const TrainSummary alone = train(model, state, run.options);
  REQUIRE(alone.status == TrainStatus::max_iterations);
  const std::vector<ManyRun<T>> runs = {{&model, &other, &run.options}};
  REQUIRE(goes_side_by_side(runs[0]));
  const TrainSummary many = train_many<T>(runs)[0];
  CHECK(many.status == alone.status);
  CHECK(many.steps == 3);
  const double bound = 3 * 4.0 * (4 + 6 + 2) * softstep::test::unit_roundoff<T>;
  for (std::size_t k = 0; k < n_blocks; ++k)
    CHECK(std::sqrt(2.0 * compare_direction(other.blocks[k], state.blocks[k]).one_minus_cos) <= bound);
  CHECK(std::fabs(many.last.others[0].norm / alone.last.others[0].norm - 1.0) <= bound);
}

TEST_CASE("a joint run of float32 side by side keeps what its blocks cannot hold", "[trainer]") {
  // Steps of a sixtieth of the rounding of entries near 0.3, each along nearly the same direction.
  JointRun<float> run(layout_of(false), 3, "ngd:step-size=1e-9", 0, joint_model());
  const TrainState<float> before = run.state;
  const TrainSummary summary = run.take(1000);
  CHECK(summary.status == TrainStatus::max_iterations);
  for (std::size_t k = 0; k < n_blocks; ++k) {
    Exact squared = 0;
    for (const Exact& x : step_of(before, run.state, k, 1e-6)) squared += x * x;
    INFO("block " << k << " went " << static_cast<double>(sqrt(squared)) << " of 1");
    CHECK(sqrt(squared) > Exact(0.99));
    CHECK(sqrt(squared) < Exact(1.01));
  }
  // A block that stays, as W does while u = 0, keeps that to the last bit.
  run.reset();
  run.options.normalization = Normalization::separate;
  for (float& u : run.state.blocks[1]) u = 0.0f;
  std::vector<float> kept(run.state.blocks[0].size());
  for (std::size_t j = 0; j < kept.size(); ++j) kept[j] = 1e-20f * static_cast<float>(j + 1);
  run.state.remainders = {kept, std::vector<float>(run.state.blocks[1].size(), 0.0f)};
  // Beside one that goes.
  JointRun<float> other(layout_of(false), 3, "ngd", 1, joint_model());
  run.options.n_steps = 1;
  const std::vector<ManyRun<float>> both = {run.run(), other.run()};
  train_many<float>(both);
  CHECK(run.state.step == 1);
  CHECK(same_bits(run.state.blocks[0], before.blocks[0]));
  CHECK(same_bits(run.state.remainders[0], kept));
}

// As in test_many.cpp: the loss of one sample and its gradients are both e^-m times what does not depend on
// m.
TEMPLATE_TEST_CASE("Polyak's joint step side by side does not see what rounding does to a far margin",
                   "[trainer]", float, double) {
  using T = TestType;
  Layout layout;
  layout.n_tokens = {3};
  layout.dim = 7;
  layout.separate_queries = true;
  for (const int power : {0, 10, 20}) {
    JointRun<T> run(layout, 3, "polyak", 0, joint_model("", Loss::exponential));
    for (T& w : run.state.blocks[0]) w *= T(0x1p-6);
    for (T& u : run.state.blocks[1]) u = std::ldexp(u, power);
    TrainState<T> alone = run.state;
    const TrainSummary found = run.take(1), expected = train(run.model, alone, run.options);
    INFO("decoder times 2^" << power);
    REQUIRE(found.steps == 1);
    // n + d + 2 terms, with scores of size 1 or less
    CHECK(std::fabs(found.last.step_length / expected.last.step_length - 1.0) <=
          4.0 * (1 + 7 + 2) * softstep::test::unit_roundoff<T>);
  }
}
