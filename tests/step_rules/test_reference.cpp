// Every rule against its paper's formula in plain numbers (core/reference/step_rules.h), 50 steps along
// gradients whose exponents fall by hundreds: in 240 digits, because the formulas cancel and square.

#include "core/reference/step_rules.h"

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <random>

#include "softstep/step_rules.h"
#include "support/digits.h"

using namespace softstep;

namespace {

// The model value of MoMo cancels by e^450.
using Exact = test::Digits<240>;

constexpr std::size_t n_rows = 3, n_cols = 4, size = n_rows * n_cols;
constexpr int n_steps = 50;
using ExactRule = std::function<void(std::vector<Exact>&, const std::vector<Exact>&, const Exact&, int)>;

// Gradients and gaps with exponents falling by `fall` a step, with leaps on the way. One entry is zero
// throughout.
template <class T>
struct Trajectory {
  double fall;
  std::mt19937 random{11};
  std::vector<T> gradient = std::vector<T>(size);
  StepContext<T> next(int t, const std::vector<T>& weights) {
    double squared = 0;
    for (std::size_t k = 0; k < size; ++k) {
      gradient[k] = k == 5 ? T(0) : static_cast<T>(static_cast<int>(random() % 200) - 100) / 64;
      squared += static_cast<double>(gradient[k]) * static_cast<double>(gradient[k]);
    }
    const double leap = t > 30 ? -40 : t > 20 ? 30 : 0, exponent = 0.25 * (t % 3) + fall * (leap - t);
    return {t,
            {0.5 + 0.125 * (t % 5), exponent - 0.5},
            gradient.data(),
            n_rows,
            n_cols,
            exponent,
            std::sqrt(squared),
            weights.data()};
  }
};

// Largest distance of a step's change from that of the reference, over the length of the change; both start
// from the same W. The reference goes on from its own.
template <class T>
double worst_error(const std::string& text, ExactRule reference, double fall) {
  const auto rule = make_step_rule<T>(parse_rule(text));
  RuleState state;
  Trajectory<T> trajectory{fall};
  std::vector<double> w(size);
  std::vector<Exact> exact(size);
  for (std::size_t k = 0; k < size; ++k)
    exact[k] = w[k] = k % 3 == 0 ? 0.0 : static_cast<double>(k) / 8 - 0.5;
  double worst = 0;
  for (int t = 0; t < n_steps; ++t) {
    const std::vector<T> rounded(w.begin(), w.end());
    const StepContext<T> at = trajectory.next(t, rounded);
    const Step<T> step = rule->step(at, state);
    REQUIRE(step.outcome == Step<T>::Outcome::moved);
    const Exact scale = exp(Exact(at.gradient_exponent));
    std::vector<Exact> gradient(size), before = exact;
    for (std::size_t k = 0; k < size; ++k) gradient[k] = scale * Exact(static_cast<double>(at.gradient[k]));
    reference(exact, gradient, Exact(at.loss_gap.mantissa) * exp(Exact(at.loss_gap.exponent)), t);
    Exact squared(0), length(0);
    for (std::size_t k = 0; k < size; ++k) {
      const double direction =
          step.computed != nullptr ? step.computed[k] : static_cast<double>(step.direction[k]);
      // What the rule does to a W that is not rounded; a rule that replaces W says where it is.
      const Exact change =
          step.replaces ? Exact(direction) - Exact(w[k]) : Exact(-Exact(step.coefficient) * Exact(direction));
      const Exact expected = exact[k] - before[k], error = change - expected;
      squared += error * error;
      length += expected * expected;
      w[k] = step.replaces ? direction : w[k] - step.coefficient * direction;
    }
    const auto error = length == 0 ? (squared == 0 ? 0.0 : INFINITY)
                                   : static_cast<double>(Exact(sqrt(squared) / sqrt(length)));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

struct Case {
  const char* rule;
  ExactRule reference;
  double fall = 15, bound_in_units = 64;
  bool looks_at_weights = false;  ///< then rounding is that of the type W is in
};

std::vector<Case> cases() {
  namespace r = reference;
  using E = Exact;
  return {
      {"gd:step-size=3", r::GradientDescent<E>{3, 0}, 5},
      {"sgd:step-size=3,schedule-power=0.5", r::GradientDescent<E>{3, 0.5}, 5},
      {"ngd:step-size=2,schedule-power=0.75", r::NormalizedGradientDescent<E>{2, 0.75}},
      {"sngd:step-size=2,schedule-power=0.75", r::NormalizedGradientDescent<E>{2, 0.75}},
      {"polyak", r::PolyakStep<E>{}},
      {"sps:factor=0.5,cap=1e30", r::PolyakStep<E>{0.5, 1e30}, 5},
      {"sps_plus", r::PolyakStep<E>{1, 0, true}},
      {"alig", r::AliG<E>{}},
      {"alig:delta=1e-20,cap=1e5", r::AliG<E>{1e-20, 1e5}, 2},
      {"decsps:factor=0.5", r::DecreasingPolyakStep<E>{0.5, 0}, 5},
      {"decsps:factor=0.5,cap=0.25", r::DecreasingPolyakStep<E>{0.5, 0.25}, -5},
      // 50 steps build up the rounding of v
      {"momentum:step-size=0.5", r::DualAcceleration<E>{0.5}},
      {"sign:step-size=0.125,schedule-power=0.5", r::SignDescent<E>{0.125, 0.5}},
      {"adam", r::Adam<E>{}},
      {"adam:beta1=0,beta2=0.5,schedule-power=0.5", r::Adam<E>{0.001, 0.5, 0, 0.5}, 5},
      // a short memory, whose exponent follows the gradient past eps
      {"adam:beta1=0.1,beta2=0.01,eps=1e-10", r::Adam<E>{0.001, 0, 0.1, 0.01, 1e-10}, 3},
      // singular values 20 times apart
      {"spectral:schedule-power=0.5", r::SpectralDescent<E>{n_rows, n_cols, 1, 0.5}, 15, 1024},
      // W up to 30 times a step, and a theta whose rounding is that of W times p - 1
      {"mirror:p=1.5,step-size=0.5", r::MirrorDescent<E>{1.5, 0.5}, 15, 1024},
      {"mirror:p=2,step-size=0.5,schedule-power=0.5", r::MirrorDescent<E>{2, 0.5, 0.5}, 15, 1024},
      {"mirror", r::MirrorDescent<E>{}, 15, 1024},
      // W up to 300 times a step
      {"prgd:warm-up=3,phase=4,step-size=0.5", r::ProgressiveRescaling<E>{0.5, 1.2, 3, 4}, 15, 4096, true},
      {"muon", r::Muon<E>{n_rows, n_cols}, 15, 4096},
      {"muon:momentum=0", r::Muon<E>{n_rows, n_cols, 0.02, 0, 0}, 15, 4096},
      {"signum:step-size=0.125", r::MeanDescent<E>{r::AlongMean::sign, n_rows, n_cols, 0.125}, 5},
      {"signum:beta=0.5,schedule-power=0.5",
       r::MeanDescent<E>{r::AlongMean::sign, n_rows, n_cols, 0.01, 0.5, 0.5}, 0.0625},
      {"nmd", r::MeanDescent<E>{r::AlongMean::unit, n_rows, n_cols}, 5},
      {"nmd:beta=0.5,schedule-power=0.5", r::MeanDescent<E>{r::AlongMean::unit, n_rows, n_cols, 1, 0.5, 0.5},
       0.0625},
      // singular values of the mean 20 times apart, as with spectral
      {"muon_exact", r::MeanDescent<E>{r::AlongMean::polar, n_rows, n_cols, 0.02}, 15, 1024},
      {"muon_exact:beta=0.5", r::MeanDescent<E>{r::AlongMean::polar, n_rows, n_cols, 0.02, 0, 0.5}, 0.0625,
       1024},
      {"momo", r::MomentumModel<E>{}, 5},
      {"momo:beta=0.5,cap=3", r::MomentumModel<E>{0.5, 3}, 0.0625},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("50 steps of every rule are those of its paper's formula", "[step_rules]", float, double) {
  for (const Case& c : cases()) {
    INFO(c.rule);
    const double error = worst_error<TestType>(c.rule, c.reference, c.fall);
    CAPTURE(error / 0x1p-53);
    REQUIRE(error <= c.bound_in_units * (c.looks_at_weights && sizeof(TestType) == 4 ? 0x1p-24 : 0x1p-53));
  }
}
