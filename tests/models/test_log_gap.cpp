// The log-gap objective by its definition, and a solver that knows nothing of softstep run on it.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "softstep/softstep.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// Gradient descent with backtracking until Armijo's condition holds: what any textbook has. Stops where no
/// step of 2^-60 and above makes progress.
template <class Function>
std::vector<double> descend(const Function& function, std::vector<double> x, int n_steps) {
  std::vector<double> g(x.size()), trial(x.size()), unused;
  double step = 1.0;
  for (int k = 0; k < n_steps; ++k) {
    const double f = function(x, &g);
    double square = 0.0;
    for (const double v : g) square += v * v;
    if (!(square > 0.0)) return x;
    step *= 4.0;
    bool found = false;
    for (int tries = 0; tries < 60 && !found; ++tries) {
      for (std::size_t e = 0; e < x.size(); ++e) trial[e] = x[e] - step * g[e];
      const double now = function(trial, nullptr);
      found = now < f && now <= f - 1e-4 * step * square;
      if (!found) step *= 0.5;
    }
    if (!found) return x;
    x = trial;
  }
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("the log gap is the logarithm of the gap, its gradient the quotient", "[models]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{4, 4, 4}, 5, 0, true}, 3);
  AttentionOptions options;
  options.key_query = KeyQuery::factored;
  options.rank = 2;
  options.train_decoder = true;
  options.optimal_loss = OptimalLoss::zero;
  const AttentionModel<T> model(batch.view, options);
  const auto blocks = normal_state(model, 1.0, 5).blocks;
  std::vector<T> at;
  for (const auto& block : blocks) at.insert(at.end(), block.begin(), block.end());
  REQUIRE(flat_size(model) == at.size());

  FlatSpace<T> space(model);
  std::vector<T> gradient(at.size()), plain(at.size());
  std::vector<double> in_double(at.size());
  const LogGap log = log_gap(model, at, gradient, space);
  const PlainLoss loss = plain_loss(model, at, plain, space);
  const LogGap same = log_gap(model, at, std::span<double>(in_double), space);
  REQUIRE(log.status == LogGapStatus::good);
  REQUIRE(same.value == log.value);
  REQUIRE(log_gap(model, at, std::span<T>(), space).value == log.value);
  REQUIRE_FALSE(loss.value_underflows);
  REQUIRE_FALSE(loss.gradient_underflows);
  // L* = 0: exp(value) is L and gradient * L is dL. Exponentials and products of double: 8 rounding units,
  // and one of T.
  const double bound = 8 * 1.2e-16;
  REQUIRE(std::fabs(std::exp(log.value) / loss.value - 1.0) <= bound);
  for (std::size_t e = 0; e < at.size(); ++e) {
    const double quotient = static_cast<double>(plain[e]) / loss.value;
    REQUIRE(std::fabs(static_cast<double>(gradient[e]) - quotient) <=
            (bound + 2 * std::numeric_limits<T>::epsilon()) * std::fabs(quotient));
    REQUIRE(std::fabs(in_double[e] - quotient) <=
            (bound + std::numeric_limits<T>::epsilon()) * std::fabs(quotient));
  }
}

TEST_CASE("a solver of someone else's runs on where the plain loss stalls", "[models]") {
  const TestBatch<double> batch({{4, 4, 4}, 8, 0, true}, 3);
  const AttentionModel<double> model(batch.view);
  REQUIRE(solve_max_margin(batch.view).status == MaxMarginStatus::optimal);
  FlatSpace<double> space(model);
  const std::vector<double> zero(flat_size(model), 0.0);
  const auto none = std::span<double>();
  const auto gradient_of = [&](std::vector<double>* g) {
    return g == nullptr ? none : std::span<double>(*g);
  };

  const auto by_log =
      descend([&](const std::vector<double>& x,
                  std::vector<double>* g) { return log_gap(model, x, gradient_of(g), space).value; },
              zero, 3000);
  REQUIRE(log_gap(model, by_log, none, space).gap.log10() <= -1000.0);

  const auto by_loss =
      descend([&](const std::vector<double>& x,
                  std::vector<double>* g) { return plain_loss(model, x, gradient_of(g), space).value; },
              zero, 3000);
  REQUIRE(log_gap(model, by_loss, none, space).gap.log10() >= -20.0);

  // Where it has come to, the plain gradient is gone, and says so.
  std::vector<double> g(zero.size());
  REQUIRE(plain_loss(model, by_log, g, space).gradient_underflows);
  for (const double x : g) REQUIRE(x == 0.0);
  REQUIRE(log_gap(model, by_log, g, space).status == LogGapStatus::good);
  double square = 0.0;
  for (const double x : g) square += x * x;
  REQUIRE(square > 0.0);
}

TEST_CASE("a mantissa and an exponent have their plain value wherever double holds it", "[models]") {
  // Of the logarithms, numbers below 2^10, five are rounded; the roundings of the value are less than one
  // more.
  for (const Scaled x : {Scaled{1e-10, 715.0}, {1e-300, 1300.0}, {1e200, -800.0}, {1e300, -720.0}}) {
    INFO(x.mantissa << " e^" << x.exponent);
    CHECK(std::fabs(std::log(x.value()) - (std::log(x.mantissa) + x.exponent)) <= 6 * 0x1p-44);
    CHECK_FALSE(x.underflows());
  }
  CHECK(Scaled{1e200, -1300.0}.value() == 0.0);
  CHECK(Scaled{1e200, -1300.0}.underflows());
  CHECK(std::isinf(Scaled{1e-10, 800.0}.value()));
  CHECK(Scaled{-3.0, -2.0}.value() == -3.0 * std::exp(-2.0));
}

TEST_CASE("the log gap says where it does not exist", "[models]") {
  const TestBatch<double> batch({{4, 4, 4}, 5, 0, true}, 3);
  AttentionOptions options;
  options.optimal_loss = OptimalLoss::value;
  options.optimal_loss_value = 100.0;
  const AttentionModel<double> above(batch.view, options);
  FlatSpace<double> space(above);
  std::vector<double> at(25, 0.0), gradient(25, 7.0);
  REQUIRE(log_gap(above, at, gradient, space).status == LogGapStatus::gap_not_positive);
  REQUIRE(gradient == std::vector<double>(25, 7.0));
  REQUIRE(std::string(to_string(LogGapStatus::gap_not_positive)) == "gap_not_positive");

  const AttentionModel<double> model(batch.view);
  FlatSpace<double> other(model);
  at[3] = std::numeric_limits<double>::quiet_NaN();
  REQUIRE(log_gap(model, at, gradient, other).status == LogGapStatus::not_finite);
  at.pop_back();
  REQUIRE_THROWS_AS(log_gap(model, at, gradient, other), InvalidArgument);
  at.push_back(0.0);
  gradient.pop_back();
  REQUIRE_THROWS_AS(log_gap(model, at, gradient, other), InvalidArgument);
  REQUIRE_THROWS_AS(plain_loss(model, at, gradient, other), InvalidArgument);
}
