// Runs side by side whose rules compute a step entry by entry: each step is the rule's, to what rounding can
// make of the gradient, and a run is followed as far as train() follows it.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "data/refused.h"
#include "layer/exact_objective.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::Exact;
using softstep::test::ExactObjective;
using softstep::test::for_each_isa;
using softstep::test::signal_noise;

namespace {

template <class T>
struct OneRun {
  Dataset<T> data;
  std::unique_ptr<AttentionModel<T>> model;
  TrainerOptions options;
  TrainState<T> state;

  OneRun(Dataset<T> of, const std::string& rule, const AttentionOptions& how = {})
      : data(std::move(of)), model(make_attention_model(data.view(), how)), state(initial_state(*model)) {
    options.rules = {parse_rule(rule)};
    options.trace_rows_per_decade = 0;
  }
  TrainSummary take(std::int64_t n_steps) {
    options.n_steps = n_steps;
    const std::vector<ManyRun<T>> runs = {{model.get(), &state, &options}};
    REQUIRE(goes_side_by_side(runs[0]));
    return train_many<T>(runs)[0];
  }
};

double largest(const std::vector<double>& of) {
  double out = 0.0;
  for (const double x : of) out = std::max(out, std::fabs(x));
  return out;
}
double remembered(const RuleState& memory, const char* name) {
  const auto found = memory.values.find(name);
  return found == memory.values.end() ? 0.0 : found->second[0];
}
std::vector<double> entries(const RuleState& memory, const char* name, std::size_t size) {
  const auto found = memory.values.find(name);
  return found == memory.values.end() ? std::vector<double>(size, 0.0) : found->second;
}

// Entry by entry, the direction of a step from a state and how far it may be off, where an entry of G may be
// off by `off`.
struct Directions {
  std::vector<Exact> direction, error;
};
template <class T>
Directions sign_of(const ExactObjective<T>& at, const Exact& off) {
  Directions out;
  for (const Exact& g : at.gradient) {
    out.direction.push_back(Exact(g > 0 ? 1 : g < 0 ? -1 : 0));
    out.error.push_back(abs(g) > off ? Exact(0) : Exact(2));
  }
  return out;
}
template <class T>
Directions adam_of(const ExactObjective<T>& at, const Exact& off, const RuleState& memory, double beta1,
                   double beta2, double eps) {
  const std::size_t size = at.gradient.size();
  const Exact unit = exp(Exact(remembered(memory, "adam.exponent"))),
              count = remembered(memory, "adam.steps") + 1;
  const std::vector<double> mean = entries(memory, "adam.mean", size),
                            root = entries(memory, "adam.root_mean_square", size);
  const Exact b1(beta1), b2(beta2), mean_weight = 1 - pow(b1, count),
                                    root_weight = sqrt(Exact(1 - pow(b2, count)));
  Directions out;
  for (std::size_t k = 0; k < size; ++k) {
    const Exact g = at.gradient[k], r = unit * Exact(root[k]);
    const Exact mean_left = b1 * unit * Exact(mean[k]), m = mean_left + (1 - b1) * g;
    const Exact v = sqrt(Exact(b2 * r * r + (1 - b2) * g * g));
    const Exact below = v / root_weight + Exact(eps);
    const Exact direction = below > 0 ? Exact(m / mean_weight / below) : Exact(0);
    // The root moves by at most sqrt(1 - b2) times as much as g; what is remembered has roundings of its own
    // (simd/kernels/run_adam.h, the exponentials of units and weights among them).
    const Exact root_off = sqrt(Exact(1 - b2)) * off / root_weight;
    const Exact own = Exact(64 * 0x1p-53) * (abs(mean_left) + (1 - b1) * abs(g)) / mean_weight;
    out.direction.push_back(direction);
    out.error.push_back(
        below > root_off
            ? Exact(((1 - b1) * off / mean_weight + abs(direction) * root_off + own) / (below - root_off))
            : Exact(2 / sqrt(Exact(1 - b2))));
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("steps of sign and Adam side by side are the rule's, entry by entry", "[trainer]", float,
                   double) {
  using T = TestType;
  struct Rule {
    const char* text;
    double eta, beta1, beta2, eps;  // beta1 < 0: sign
  };
  // The kernels of every instruction set are held to the rules in tests/simd/test_run_rules.cpp.
  for (const Rule& rule :
       {Rule{"sign:step-size=0.05", 0.05, -1, 0, 0}, Rule{"adam:step-size=0.05", 0.05, 0.9, 0.999, 0},
        Rule{"adam:step-size=0.5,beta1=0.5,beta2=0.9,eps=1e-6", 0.5, 0.5, 0.9, 1e-6},
        // Gradients that fall so fast that what is remembered goes to another exponent.
        Rule{"adam:step-size=4,beta1=0.1,beta2=0.01", 4, 0.1, 0.01, 0}}) {
    const bool is_fast = rule.eta == 4;
    if (is_fast && sizeof(T) == 4) continue;  // whose bound allows everything there
    std::size_t n_leaps = 0;
    OneRun<T> run(convert<T>(signal_noise(3, 4, 5, 6)), rule.text);
    std::size_t n_loose = 0, n_entries = 0;
    const std::vector<std::int64_t> usual = {0, 1, 4, 35}, every(16, 0);
    for (const std::int64_t steps : is_fast ? every : usual) {
      if (steps > 0) run.take(steps);
      const TrainState<T> before = run.state;
      const ExactObjective<T> at(run.data.view(), before.blocks[0], Loss::logistic);
      // Of a unit vector, of its length, and of the exponent that this is written with.
      const double log_norm = static_cast<double>(log(at.gradient_norm));
      const double bound = at.gradient_bound.direction +
                           1.01 * std::expm1(at.gradient_bound.exponent + 4 * 0x1p-53 * std::fabs(log_norm));
      const Exact off = Exact(bound) * at.gradient_norm;
      const Directions expected =
          rule.beta1 < 0 ? sign_of(at, off)
                         : adam_of(at, off, before.rule_states[0], rule.beta1, rule.beta2, rule.eps);
      run.take(1);
      const RuleState &memory = run.state.rule_states[0], &memory_before = before.rule_states[0];
      if (before.step > 0 &&
          remembered(memory, "adam.exponent") != remembered(memory_before, "adam.exponent"))
        ++n_leaps;
      INFO(rule.text << " after " << before.step << " steps, bound " << bound);
      std::size_t n_wrong = 0;  // NaN among them
      for (std::size_t k = 0; k < expected.direction.size(); ++k) {
        Exact old = before.blocks[0][k], found = run.state.blocks[0][k];
        const bool is_kept = !run.state.remainders[0].empty();
        if (is_kept && !before.remainders[0].empty()) old += Exact(before.remainders[0][k]);
        if (is_kept) found += Exact(run.state.remainders[0][k]);
        const Exact next = old - Exact(rule.eta) * expected.direction[k];
        const double u = softstep::test::unit_roundoff<T>;
        const Exact allowed =
            Exact(rule.eta) * expected.error[k] +
            Exact(is_kept ? 2 * u * u + 0x1p-51 : 2 * u) * (abs(next) + abs(old) + Exact(rule.eta));
        n_wrong += abs(found - next) <= allowed ? 0 : 1;
        n_loose += expected.error[k] > Exact(0.1) ? 1 : 0;
        ++n_entries;
      }
      CHECK(n_wrong == 0);
    }
    // A bound that allows everything would check nothing: it is of use for most entries.
    INFO(rule.text);
    if (is_fast) CHECK(n_leaps > 0);
    CHECK(n_loose <= n_entries / 4);
  }
}

TEMPLATE_TEST_CASE("dual acceleration side by side goes where it goes alone, with Adam far out", "[trainer]",
                   float, double) {
  using T = TestType;
  for_each_isa([&](const simd::Isa& isa) {
    AttentionOptions how;
    how.isa = isa.name;
    for (const std::size_t seed : {0, 1, 2}) {
      OneRun<T> run(convert<T>(signal_noise(seed, 6, 8, 10)), "momentum", how);
      const TrainSummary many = run.take(300);
      TrainState<T> state = initial_state(*run.model);
      const TrainSummary alone = train(*run.model, state, run.options);
      INFO(isa.name << " seed " << seed);
      CHECK(many.form == Form::dense);
      CHECK(many.status == alone.status);
      CHECK(many.steps == alone.steps);
      // As for steps along the gradient (test_many.cpp), of which these are sums.
      const double norm = alone.last.weight_norm;
      const double bound = 4.0 * (6 + 10 + 2) * softstep::test::unit_roundoff<T> * (1.0 + norm);
      CHECK(std::sqrt(2.0 * compare_direction(run.state.blocks[0], state.blocks[0]).one_minus_cos) <= bound);
      CHECK(std::fabs(many.last.weight_norm / norm - 1.0) <= bound);
    }
  });
  // Adam without eps, whose means forget alike, goes on at its pace where gradients are far below the number
  // range.
  OneRun<T> far(convert<T>(signal_noise(0)), "adam:step-size=1,beta1=0.5,beta2=0.25");
  const TrainSummary summary = far.take(4000);
  CHECK(summary.status == TrainStatus::max_iterations);
  CHECK(summary.last.log10_gradient_norm < -400.0);
  CHECK(summary.last.step_length > 0.5);
  CHECK(std::isfinite(summary.last.weight_norm));
}

TEMPLATE_TEST_CASE("lengths of steps whose squares leave the number range are right side by side",
                   "[trainer]", float, double) {
  using T = TestType;
  // A large eps makes Adam's directions as small as the gradients.
  OneRun<T> small(convert<T>(signal_noise(0, 6, 8, 10)), "adam:step-size=1e-3,eps=1e250");
  TrainState<T> state = small.state;
  const TrainSummary many = small.take(3), alone = train(*small.model, state, small.options);
  CHECK(alone.last.step_length > 0.0);
  CHECK(std::fabs(many.last.step_length / alone.last.step_length - 1.0) <= 1e-3);
}

TEMPLATE_TEST_CASE("Adam that goes on side by side knows the squares of gradients long gone", "[trainer]",
                   float, double) {
  using T = TestType;
  // After the first step the gradient is as good as zero. Its mean falls by half a step, to less than e^-20
  // of the squares that beta2 keeps: these alone hold the exponent where it is.
  const std::string rule = "adam:step-size=1e4,beta1=0.5";
  OneRun<T> whole(convert<T>(signal_noise(0, 6, 8, 10)), rule), parts(whole.data, rule);
  whole.take(80);
  parts.take(60);
  parts.take(20);
  const RuleState &memory = parts.state.rule_states[0], &expected = whole.state.rule_states[0];
  const std::vector<double> mean = entries(memory, "adam.mean", 100),
                            root = entries(memory, "adam.root_mean_square", 100);
  REQUIRE(largest(mean) < std::exp(-20.0) * largest(root));
  CHECK(remembered(memory, "adam.exponent") == remembered(expected, "adam.exponent"));
  CHECK(root == entries(expected, "adam.root_mean_square", 100));
  CHECK(mean == entries(expected, "adam.mean", 100));
  CHECK(parts.state.blocks[0] == whole.state.blocks[0]);
}

TEMPLATE_TEST_CASE("Adam side by side knows the mean of gradients long gone", "[trainer]", float, double) {
  using T = TestType;
  // The other way round: beta2 forgets the squares, to a tenth of the root at every step, and the mean alone
  // holds the exponent. eps keeps the steps from growing.
  OneRun<T> many(convert<T>(signal_noise(0, 6, 8, 10)), "adam:step-size=1e4,beta1=0.999,beta2=0.01,eps=1e-2");
  TrainState<T> alone = many.state;
  const ExactObjective<T> first(many.data.view(), alone.blocks[0], Loss::logistic);
  many.take(60);
  many.options.form = Form::dense;
  train(*many.model, alone, many.options);
  const RuleState &memory = many.state.rule_states[0], &expected = alone.rule_states[0];
  const std::vector<double> mean = entries(memory, "adam.mean", 100),
                            root = entries(memory, "adam.root_mean_square", 100),
                            mean_alone = entries(expected, "adam.mean", 100);
  REQUIRE(largest(root) < std::exp(-100.0) * largest(mean));
  CHECK(remembered(memory, "adam.exponent") == remembered(expected, "adam.exponent"));
  // It is the first gradient, at W = 0, of which each way has its own roundings, and 60 of the decay.
  const double off = first.gradient_bound.direction + 1.01 * std::expm1(first.gradient_bound.exponent),
               bound = (2.02 * off + 200 * 0x1p-53) * frobenius_norm({mean_alone.data(), mean_alone.size()});
  for (std::size_t k = 0; k < 100; ++k) CHECK(std::fabs(mean[k] - mean_alone[k]) <= bound);
}

TEST_CASE("a step that no number holds ends the run side by side, as it was before", "[trainer]") {
  OneRun<float> run(convert<float>(signal_noise(0, 6, 8, 10)), "sign:step-size=1e37");
  const TrainSummary summary = run.take(50);
  CHECK(summary.status == TrainStatus::not_finite);
  CHECK(summary.steps > 0);
  TrainState<float> state = initial_state(*run.model);
  const TrainSummary alone = train(*run.model, state, run.options);
  CHECK(alone.status == TrainStatus::not_finite);
  CHECK(alone.steps == summary.steps);
  CHECK(state.blocks[0] == run.state.blocks[0]);
  for (const float w : run.state.blocks[0]) CHECK(std::isfinite(w));
}

TEMPLATE_TEST_CASE("a memory of another size is refused side by side as it is alone", "[trainer]", float,
                   double) {
  using T = TestType;
  struct Memory {
    const char *rule, *name;
    std::size_t size;
  };
  for (const Memory& memory : {Memory{"adam", "adam.mean", 99}, {"adam", "adam.root_mean_square", 101},
                               {"adam", "adam.exponent", 0}, {"momentum", "momentum.v", 4}}) {
    INFO(memory.name);
    OneRun<T> run(convert<T>(signal_noise(0, 6, 8, 10)), memory.rule);
    run.take(2);
    run.state.rule_states[0].values[memory.name].resize(memory.size);
    const std::string size = std::to_string(memory.size) + " entries";
    softstep::test::require_refused("state", {memory.name, size}, [&] { run.take(1); });
    softstep::test::require_refused("state", {memory.name, size},
                                    [&] { train(*run.model, run.state, run.options); });
  }
}
