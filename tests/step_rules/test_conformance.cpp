// What every rule of rules.def must do, whatever its formula. Iterates the table, so a new rule is tested by
// its row.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "softstep/error.h"
#include "softstep/step_rules.h"

using namespace softstep;

namespace {

template <class T>
struct Fixture {
  std::vector<T> gradient, weights;
  StepContext<T> at;
  RuleState state;

  explicit Fixture(double exponent, double gap = 1.0, double gap_exponent = 0.0) {
    std::mt19937 random(7);
    for (int k = 0; k < 12; ++k) {
      gradient.push_back(static_cast<T>(static_cast<int>(random() % 200) - 100) / 64);
      weights.push_back(static_cast<T>(static_cast<int>(random() % 200) - 100) / 16);
    }
    double squared = 0;
    for (const T g : gradient) squared += static_cast<double>(g) * static_cast<double>(g);
    at = {3, {gap, gap_exponent}, gradient.data(), 3, 4, exponent, std::sqrt(squared), weights.data()};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("every rule stays at an exact zero gradient and says so", "[step_rules]", float, double) {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Fixture<TestType> f(-std::numeric_limits<double>::infinity(), 0.0);
    std::fill(f.gradient.begin(), f.gradient.end(), TestType(0));
    f.at.gradient_norm = 0.0;
    const auto step = make_step_rule<TestType>({info.name, {}})->step(f.at, f.state);
    CHECK(step.outcome == Step<TestType>::Outcome::stationary);
    CHECK(step.coefficient == 0.0);
    CHECK(step.length == 0.0);
  }
}

TEMPLATE_TEST_CASE("no rule makes NaN from finite input, at any exponent", "[step_rules]", float, double) {
  for (const RuleInfo& info : step_rules()) {
    const auto rule = make_step_rule<TestType>({info.name, {}});
    for (const double exponent : {-3e6, -1e4, -800.0, 0.0, 5.0}) {
      for (const double gap : {1e-300, 1.0, 1e300}) {
        INFO(info.name << " exponent " << exponent << " gap " << gap);
        Fixture<TestType> f(exponent, gap, exponent);
        const auto step = rule->step(f.at, f.state);
        CHECK(!std::isnan(step.coefficient));
        CHECK(!std::isnan(step.length));
        CHECK(step.length >= 0.0);
      }
    }
  }
}

TEMPLATE_TEST_CASE("a loss gap that is not finite makes no step", "[step_rules]", float, double) {
  constexpr double inf = std::numeric_limits<double>::infinity(),
                   nan = std::numeric_limits<double>::quiet_NaN();
  for (const RuleInfo& info : step_rules()) {
    const auto rule = make_step_rule<TestType>({info.name, {}});
    if (!rule->needs_loss_gap()) continue;
    Fixture<TestType> f(-1.0, 0.5, -1.0);
    for (int t = 0; t < 3; ++t) rule->step(f.at, f.state);
    for (const double gap : {nan, inf}) {
      INFO(info.name << " gap " << gap);
      Fixture<TestType> bad(-1.0, gap, -1.0);
      RuleState next;
      const auto step = rule->propose(bad.at, f.state, next);
      CHECK(step.outcome == Step<TestType>::Outcome::moved);
      CHECK(!std::isfinite(step.length));  // the trainer ends with not_finite
    }
  }
}

TEMPLATE_TEST_CASE("the length reported is the norm of the step", "[step_rules]", float, double) {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Fixture<TestType> f(-2.0, 0.7, -2.0);
    const auto step = make_step_rule<TestType>({info.name, {}})->step(f.at, f.state);
    REQUIRE(step.outcome == Step<TestType>::Outcome::moved);
    double squared = 0;
    for (std::size_t k = 0; k < f.gradient.size(); ++k) {
      const double direction =
          step.computed != nullptr ? step.computed[k] : static_cast<double>(step.direction[k]);
      const double change = step.replaces ? static_cast<double>(f.weights[k]) - direction : direction;
      squared += std::pow(step.replaces ? change : step.coefficient * change, 2);
    }
    // 12 squares and a root in double: under 16 roundings
    CHECK(std::fabs(std::sqrt(squared) - step.length) <= 16 * 0x1p-53 * step.length);
  }
}

TEST_CASE("a rule's settings hold no state: two runs through one object do not meet", "[step_rules]") {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    const auto rule = make_step_rule<double>({info.name, {}});
    Fixture<double> a(-1.0, 0.5, -1.0), b(-1.0, 0.5, -1.0);
    const auto first = rule->step(a.at, a.state);
    const auto other = rule->step(b.at, b.state);
    CHECK(std::memcmp(&first.coefficient, &other.coefficient, sizeof(double)) == 0);
  }
}

TEST_CASE("every option rejects what is out of range, naming option and value", "[step_rules]") {
  for (const RuleInfo& info : step_rules()) {
    CHECK(!info.formula.empty());
    CHECK(!info.source.empty());
    for (const RuleOptionInfo& option : info.options) {
      for (const double bad :
           {-1.0, std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
        INFO(info.name << " " << option.name << " " << bad);
        try {
          make_step_rule<float>({info.name, {{option.name, bad}}});
          FAIL("accepted");
        } catch (const InvalidArgument& e) {
          CHECK(e.argument() == option.name);
        }
      }
      CHECK_NOTHROW(make_step_rule<float>({info.name, {{option.name, option.default_value}}}));
    }
    CHECK_THROWS_AS(make_step_rule<double>({info.name, {{"no-such-option", 1.0}}}), InvalidArgument);
  }
}

TEMPLATE_TEST_CASE("where a rule does not move it remembers what it did before", "[step_rules]", float,
                   double) {
  using Outcome = typename Step<TestType>::Outcome;
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    const auto rule = make_step_rule<TestType>({info.name, {}});
    RuleState state;
    Fixture<TestType> moving(-1.0, 0.5, -1.0);
    for (int t = 0; t < 3; ++t) REQUIRE(rule->step(moving.at, state).outcome == Outcome::moved);
    const auto before = state.values;
    for (const RuleMemory& field : rule->memory()) {
      INFO(field.name);
      REQUIRE(before.count(field.name) == 1);
      CHECK(before.at(field.name).size() == (field.size == 0 ? 12 : field.size));
    }
    CHECK(before.size() == rule->memory().size());
    Fixture<TestType> below(-1.0, -0.5, -1.0), flat(-1.0, 0.5, -1.0);
    if (rule->step(below.at, state).outcome == Outcome::moved) state.values = before;
    CHECK(state.values == before);
    std::fill(flat.gradient.begin(), flat.gradient.end(), TestType(0));
    flat.at.gradient_norm = 0.0;
    CHECK(rule->step(flat.at, state).outcome == Outcome::stationary);
    CHECK(state.values == before);
  }
}

TEMPLATE_TEST_CASE("a proposal depends on what is remembered, not on what the next memory held",
                   "[step_rules]", float, double) {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    const auto rule = make_step_rule<TestType>({info.name, {}});
    Fixture<TestType> f(-1.0, 0.5, -1.0), other(-3.0, 0.9, -2.0);
    RuleState memory, fresh, used;
    for (int t = 0; t < 2; ++t) rule->step(f.at, memory);
    for (int t = 0; t < 5; ++t) rule->step(other.at, used);
    const auto before = memory.values;
    const auto first = rule->propose(f.at, memory, fresh);
    const auto again = rule->propose(f.at, memory, used);
    CHECK(memory.values == before);
    CHECK(fresh.values == used.values);
    CHECK(first.outcome == again.outcome);
    CHECK(std::memcmp(&first.coefficient, &again.coefficient, sizeof(double)) == 0);
    CHECK(std::memcmp(&first.length, &again.length, sizeof(double)) == 0);
    REQUIRE((first.computed == nullptr) == (again.computed == nullptr));
    if (first.computed != nullptr)
      CHECK(std::memcmp(first.computed, again.computed, f.gradient.size() * sizeof(double)) == 0);
  }
}
