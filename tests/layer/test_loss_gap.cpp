// Loss, loss gap in its four modes and attention of the optimal token against 520 digits.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "layer/exact_gap.h"
#include "layer/exact_objective.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
void check(const BatchView<T>& batch, const std::vector<T>& w, Loss kind) {
  const double u = unit_roundoff<T>;
  const ExactObjective<T> exact(batch, w, kind);
  Exact smallest(1), largest_rest(0);
  double attention_bound = 0.0;
  for (std::size_t i = 0; i < exact.values.size(); ++i) {
    const auto& a = exact.values[i].attention;
    smallest = std::min(smallest, a.attention[exact.problem.samples[i].optimal]);
    largest_rest = std::max(largest_rest, a.one_minus_optimal);
    double spread = 0.0;
    for (const Exact& z : a.relative_scores) spread = std::max(spread, -static_cast<double>(z));
    // Scores, their differences, p_a and the sums (error_bounds.h); relative errors of p_opt and of 1 -
    // p_opt.
    attention_bound =
        std::max(attention_bound, std::expm1(2.0 * exact.score_errors[i] + 2.0 * u * spread) +
                                      (8.0 * static_cast<double>(a.attention.size()) + 16.0) * u);
  }
  const Gap loss = exact_gap(exact.problem, exact.values, exact.margin_errors, kind, OptimalLoss::zero, 0.0);
  const double exact_log = largest_rest == 0 ? -INFINITY : static_cast<double>(log10(largest_rest));
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero}) {
    const double value = mode == OptimalLoss::value ? 0.0625 : 0.0;
    const Gap gap = exact_gap(exact.problem, exact.values, exact.margin_errors, kind, mode, value);
    for_each_isa([&](const simd::Isa& isa) {
      AttentionOptions options;
      options.isa = isa.name;
      options.loss = kind;
      options.optimal_loss = mode;
      options.optimal_loss_value = value;
      AttentionModel<T> model(batch, options);
      Evaluation<T> out;
      model.evaluate(w, out, want_loss_gap | want_loss | want_attention);
      INFO(isa.name << ' ' << to_string(kind) << ' ' << to_string(mode));
      const Exact computed = Exact(out.loss_gap.mantissa) * exp(Exact(out.loss_gap.exponent));
      const Exact error = abs(Exact(computed - gap.value));
      INFO("gap " << static_cast<double>(gap.value) << " error / bound "
                  << static_cast<double>(Exact(error / gap.bound)));
      REQUIRE(isfinite(computed));
      REQUIRE(error <= gap.bound);
      if (loss.value < Exact(1e300) && loss.value > Exact(1e-300))
        REQUIRE(abs(Exact(Exact(out.loss) - loss.value)) <= loss.bound);
      // Attention
      REQUIRE(std::fabs(out.min_optimal_attention - static_cast<double>(smallest)) <=
              1.01 * attention_bound * static_cast<double>(smallest) + 1e-300);
      if (largest_rest == 0) {
        REQUIRE(out.log10_one_minus_optimal_attention == -INFINITY);
      } else {
        // attention_bound / log(10), doubled for the step from 1 + x to log, and the logarithm's own
        // roundings
        const double allowed = attention_bound + 8.0 * 0x1p-53 * (1.0 + std::fabs(exact_log));
        REQUIRE(std::fabs(out.log10_one_minus_optimal_attention - exact_log) <= allowed);
      }
    });
  }
}

}  // namespace

TEMPLATE_TEST_CASE("loss, gap and attention are right from |W| = 0 to 1e6", "[layer]", float, double) {
  const TestBatch<TestType> batch({{4, 4, 4}, 5}, 1);
  for (const double norm : {0.0, 1e-3, 1.0, 10.0, 100.0, 1e3, 1e6})
    for (const Toward toward : {Toward::optimal, Toward::other})
      for (const Loss loss : {Loss::logistic, Loss::exponential}) {
        if (norm == 0.0 && toward == Toward::other) continue;
        INFO("|W| = " << norm << " toward " << static_cast<int>(toward));
        check(batch.view, weights_toward(batch.view, toward, norm), loss);
      }
}

TEMPLATE_TEST_CASE("loss and gap are right at margins that overflow or underflow", "[layer]", float, double) {
  for (const double decoder : {30.0, 3000.0})
    for (const std::uint64_t seed : {1, 2, 3}) {
      // Margins of both signs, differences of some tens and some thousands.
      const TestBatch<TestType> batch({{3}, 4}, seed, 1.0, decoder);
      for (const double norm : {0.0, 3.0, 60.0, 1e4})
        for (const Toward toward : {Toward::optimal, Toward::other})
          for (const Loss loss : {Loss::logistic, Loss::exponential}) {
            INFO("decoder " << decoder << " seed " << seed << " |W| = " << norm);
            check(batch.view, weights_toward(batch.view, toward, norm), loss);
          }
    }
}

TEMPLATE_TEST_CASE("loss, gap and attention are right on ragged batches and with one token", "[layer]", float,
                   double) {
  const TestBatch<TestType> ragged({{1, 5, 2, 3}, 4, 2, false, true, true}, 4);
  const TestBatch<TestType> single({{1, 1}, 3}, 5);
  for (const double norm : {1.0, 40.0}) {
    check(ragged.view, weights_toward(ragged.view, Toward::anywhere, norm), Loss::logistic);
    check(single.view, weights_toward(single.view, Toward::anywhere, norm), Loss::logistic);
  }
}

TEST_CASE("the optimal loss is that of the mode", "[layer]") {
  const TestBatch<double> batch({{4, 4}, 5}, 8);
  const auto problem = reference::problem_of<Exact>(batch.view);
  const auto w = weights_toward(batch.view, Toward::other, 30.0);
  const auto values = reference::evaluate(problem, w.data(), reference::Loss::logistic);
  Exact optimal(0), selected(0);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& z = values[i].attention.relative_scores;
    const auto pivot = static_cast<std::size_t>(std::max_element(z.begin(), z.end()) - z.begin());
    const auto& sample = problem.samples[i];
    optimal += reference::loss_value(reference::Loss::logistic, sample.optimal_score) / 2;
    selected +=
        reference::loss_value(reference::Loss::logistic, Exact(sample.optimal_score - sample.gaps[pivot])) /
        2;
  }
  const auto at = [&](OptimalLoss mode, unsigned want = want_all) {
    AttentionOptions options;
    options.optimal_loss = mode;
    options.optimal_loss_value = 0.25;
    AttentionModel<double> model(batch.view, options);
    Evaluation<double> out;
    model.evaluate(w, out, want);
    // The model itself knows it where it does not depend on the point.
    CHECK((mode == OptimalLoss::selected ? std::isnan(model.optimal_loss())
                                         : model.optimal_loss() == out.optimal_loss));
    return out.optimal_loss;
  };
  CHECK(std::fabs(at(OptimalLoss::optimal) / static_cast<double>(optimal) - 1.0) <= 16 * 0x1p-53);
  CHECK(std::fabs(at(OptimalLoss::selected) / static_cast<double>(selected) - 1.0) <= 16 * 0x1p-53);
  for (const unsigned want : {want_loss_gap | want_loss, want_loss_gap | 0u})
    CHECK(at(OptimalLoss::selected, want) == at(OptimalLoss::selected));
  CHECK(at(OptimalLoss::value) == 0.25);
  CHECK(at(OptimalLoss::zero) == 0.0);
}

namespace {

// As users write losses, the first without a second derivative.
class OwnExponential : public LossFunction {
 public:
  std::string name() const override { return "own_exponential"; }
  Scaled value(double m, double) const override { return {1.0, -m}; }
  Scaled derivative(double m, double) const override { return {-1.0, -m}; }
  bool is_decreasing() const override { return true; }
};
class OwnCurvedExponential final : public OwnExponential {
 public:
  Scaled second_derivative(double m, double) const override { return {1.0, -m}; }
};

// 1 + max(0, 1 - m)^2 / 2, whose slope is 0 at 1 and whose second derivative from the left is 1.
class SquaredHinge final : public LossFunction {
 public:
  std::string name() const override { return "squared hinge"; }
  Scaled value(double m, double) const override {
    const double off = m < 1.0 ? 1.0 - m : 0.0;
    return {1.0 + 0.5 * off * off, 0.0};
  }
  Scaled derivative(double m, double) const override { return {m < 1.0 ? m - 1.0 : 0.0, 0.0}; }
  Scaled second_derivative(double m, double) const override { return {m <= 1.0 ? 1.0 : 0.0, 0.0}; }
  bool is_decreasing() const override { return true; }
};

// max(0, 1 - m)^power, whose slope and second derivative are given as 0 at 1.
class HingePower final : public LossFunction {
 public:
  explicit HingePower(int power) : power_(power) {}
  std::string name() const override { return "power of a hinge"; }
  Scaled value(double m, double) const override { return {std::pow(off(m), power_), 0.0}; }
  Scaled derivative(double m, double) const override {
    return {m < 1.0 ? -power_ * std::pow(off(m), power_ - 1) : 0.0, 0.0};
  }
  Scaled second_derivative(double m, double) const override {
    return {m < 1.0 && power_ > 1 ? power_ * (power_ - 1) * std::pow(off(m), power_ - 2) : 0.0, 0.0};
  }
  bool is_decreasing() const override { return true; }

 private:
  static double off(double m) { return m < 1.0 ? 1.0 - m : 0.0; }
  int power_;
};

}  // namespace

TEST_CASE("the gap of an own loss is right to 1e-8, whatever its margin", "[layer]") {
  const auto exact = make_loss(Loss::exponential);
  const OwnExponential plain;
  const OwnCurvedExponential curved;
  // Up to where the exponent -m is rounded by less than 1e-10.
  for (const double m : {0.0, 3.0, -40.0, 300.0, 1e4, -1e5, 1e6})
    for (double d = 1e-15; d < 200.0; d *= 3.0)
      for (const double delta : {d, -d}) {
        INFO("margin " << m << ", difference " << delta);
        const Scaled expected = exact->difference(m, {delta, 0.0}, 1.0);
        // u / d of the two values and d / 2 of the slope alone meet at 1.5e-8: two roundings each side of it.
        for (const LossFunction* loss :
             {static_cast<const LossFunction*>(&plain), static_cast<const LossFunction*>(&curved)}) {
          const Scaled ratio = loss->difference(m, {delta, 0.0}, 1.0) / expected;
          CHECK(std::fabs(ratio.value() - 1.0) <= 2e-8);
        }
      }
  // Below the range of double the gap is the slope times delta.
  for (const double m : {0.0, 300.0, 1e6})
    for (const double exponent : {-800.0, -1e6})
      for (const LossFunction* loss :
           {static_cast<const LossFunction*>(&plain), static_cast<const LossFunction*>(&curved)}) {
        INFO("margin " << m << ", difference e^" << exponent);
        const Scaled ratio = loss->difference(m, {1.0, exponent}, 1.0) / Scaled{1.0, exponent - m};
        CHECK(std::fabs(ratio.value() - 1.0) <= 2e-8);
      }
}

TEST_CASE("the difference of a loss is of second order where its slope is exactly 0", "[layer]") {
  for (const double d : {1e-9, 1e-12, 1e-200}) {
    INFO("delta " << d);
    // The documented 1e-8, of the value and so of its logarithm.
    const double found = SquaredHinge().difference(1.0, {d, 0.0}, 1.0).log();
    CHECK(std::fabs(found - (2.0 * std::log(d) - std::log(2.0))) <= 1e-8);
  }
  // Far below what a plain number holds.
  CHECK(SquaredHinge().difference(1.0, {1.0, -1e6}, 1.0).log() == -2e6 - std::log(2.0));
}

// Where a hinge ends there is nothing beyond, and its power to this side, of whatever order.
TEST_CASE("the difference of a loss with a kink is that of the side it goes to", "[layer]") {
  for (const double d : {0x1p-27, 0x1p-30, 0x1p-40}) {
    INFO("delta " << d);
    for (const int power : {1, 2, 3, 4}) {
      INFO("power " << power);
      // 1 - d is a number of double, and so is the power; std::pow rounds once.
      const double found = HingePower(power).difference(1.0, {d, 0.0}, 1.0).value();
      CHECK(std::fabs(found / std::pow(d, power) - 1.0) <= 0x1p-52);
      CHECK(HingePower(power).difference(1.0, {-d, 0.0}, 1.0).value() == 0.0);
    }
    CHECK(SquaredHinge().difference(1.0, {-d, 0.0}, 1.0).value() == 0.0);
  }
}
