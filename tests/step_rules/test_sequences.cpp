// What every rule of rules.def must do over many steps, whatever it remembers: the size of the problem is not
// in the way (where the rule's mathematics has none), runs repeat to the bit and go on to the bit from what
// RuleState::values holds, float32 gradients give the steps of float64, a zero gradient ends a run that has a
// past.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "softstep/error.h"
#include "softstep/step_rules.h"

using namespace softstep;

namespace {

constexpr std::size_t n_rows = 3, n_cols = 4, size = n_rows * n_cols;

// These take the plain gradient: their steps are as small as it is.
const std::set<std::string> sees_the_size = {"gd", "sgd"};

// n steps of a rule from W = 0 along gradients of falling size; what each changes W by.
template <class T>
struct Run {
  std::vector<double> w = std::vector<double>(size, 0.0);
  RuleState state;
  std::mt19937 random{5};
  int t = 0;

  std::vector<double> step(const std::string& name, double shift, bool representable) {
    std::vector<T> gradient(size), weights(w.begin(), w.end());
    double squared = 0;
    for (std::size_t k = 0; k < size; ++k) {
      double g = static_cast<double>(static_cast<int>(random() % 200) - 100) / 64;
      if (!representable) g += std::copysign(1.0 / 3, g);
      gradient[k] = static_cast<T>(g);
      squared += static_cast<double>(gradient[k]) * static_cast<double>(gradient[k]);
    }
    const double exponent = shift - 3 * t;
    const auto taken = make_step_rule<T>({name, {}})
                           ->step({t,
                                   {0.5 + 0.125 * (t % 5), exponent - 0.5},
                                   gradient.data(),
                                   n_rows,
                                   n_cols,
                                   exponent,
                                   std::sqrt(squared),
                                   weights.data()},
                                  state);
    REQUIRE(taken.outcome == Step<T>::Outcome::moved);
    ++t;
    std::vector<double> change(size);
    for (std::size_t k = 0; k < size; ++k) {
      const double direction =
          taken.computed != nullptr ? taken.computed[k] : static_cast<double>(taken.direction[k]);
      const double before = w[k];
      w[k] = taken.replaces ? direction : before - taken.coefficient * direction;
      change[k] = taken.replaces ? w[k] - before : -taken.coefficient * direction;
    }
    return change;
  }
};

double norm(const std::vector<double>& x) {
  double squared = 0;
  for (const double value : x) squared += value * value;
  return std::sqrt(squared);
}

double distance(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t k = 0; k < a.size(); ++k) a[k] -= b[k];
  return norm(a);
}

}  // namespace

TEMPLATE_TEST_CASE("gradient and gap times e^anything leave every step as it is", "[step_rules]", float,
                   double) {
  for (const RuleInfo& info : step_rules()) {
    if (sees_the_size.count(info.name) != 0) continue;
    for (const double shift : {-3e6, -1e4, -700.0, 300.0}) {
      INFO(info.name << " times e^" << shift);
      Run<TestType> plain, shifted;
      for (int t = 0; t < 40; ++t) {
        const auto a = plain.step(info.name, 0.0, true), b = shifted.step(info.name, shift, true);
        CAPTURE(t);
        // Differences of exponents do not round here (whole numbers and halves); what differs is where a
        // history has its exponent, and what that rounds: a few units a step. W is the sum of the steps so
        // far.
        REQUIRE(distance(a, b) <= 16 * (t + 1) * 0x1p-53 * (norm(a) + norm(plain.w)));
        REQUIRE(norm(a) > 0.0);
      }
    }
  }
}

TEST_CASE("a float32 gradient gives the steps of the float64 one it rounds", "[step_rules]") {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Run<float> narrow;
    Run<double> wide;
    for (int t = 0; t < 40; ++t) {
      const auto a = wide.step(info.name, -50.0, false), b = narrow.step(info.name, -50.0, false);
      CAPTURE(t, distance(a, b) / norm(a));
      // The gradient is off by 2^-24; singular values 20 times apart may enlarge that for U V^T and its like
      // by as much. In the state and in W it adds up.
      REQUIRE(distance(a, b) <= 32 * (t + 1) * 0x1p-24 * (norm(a) + norm(wide.w)));
    }
  }
}

TEMPLATE_TEST_CASE("a run repeats to the bit, and goes on to the bit from what its state holds",
                   "[step_rules]", float, double) {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Run<TestType> once, again, resumed;
    for (int t = 0; t < 130; ++t) {
      const auto a = once.step(info.name, -800.0, false), b = again.step(info.name, -800.0, false);
      RuleState loaded;
      loaded.values = resumed.state.values;  // nothing but the values, as from a file
      resumed.state = loaded;
      const auto c = resumed.step(info.name, -800.0, false);
      REQUIRE(std::memcmp(a.data(), b.data(), size * sizeof(double)) == 0);
      REQUIRE(std::memcmp(a.data(), c.data(), size * sizeof(double)) == 0);
    }
    CHECK(once.state.values == resumed.state.values);
  }
}

TEST_CASE("a rule with a past stays at a zero gradient too", "[step_rules]") {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Run<double> run;
    for (int t = 0; t < 10; ++t) run.step(info.name, 0.0, true);
    const std::vector<double> zero(size, 0.0);
    const auto values = run.state.values;
    const auto step =
        make_step_rule<double>({info.name, {}})
            ->step({10, {0.0, 0.0}, zero.data(), n_rows, n_cols, -INFINITY, 0.0, run.w.data()}, run.state);
    CHECK(step.outcome == Step<double>::Outcome::stationary);
    CHECK(step.length == 0.0);
    CHECK(run.state.values == values);
  }
}

TEST_CASE("a state that does not fit the problem is refused", "[step_rules]") {
  for (const RuleInfo& info : step_rules()) {
    INFO(info.name);
    Run<double> run;
    run.step(info.name, 0.0, true);
    if (run.state.values.empty()) continue;
    run.state.values.begin()->second.push_back(1.0);
    try {
      run.step(info.name, 0.0, true);
      FAIL("accepted");
    } catch (const InvalidArgument& e) {
      CHECK(e.argument() == "state");
    }
  }
}
