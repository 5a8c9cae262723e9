// What must come out of training on signal_noise (n=10, T=6, d=60), whatever the seed; laws that need no
// constants. Asymptotic laws hold up to corrections of relative size O(1 / norm(W)), which the tolerances
// allow for.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "trainer/runs.h"

using namespace softstep;
using softstep::test::run;
using softstep::test::signal_noise;

namespace {

constexpr double log10_e = 0.43429448190325182765;

struct Problem {
  Dataset<double> data;
  MaxMarginResult limit;
  explicit Problem(std::uint64_t seed) : data(signal_noise(seed)), limit(solve_max_margin(data.view())) {
    REQUIRE(limit.status == MaxMarginStatus::optimal);
  }
};

bool all_finite(const TraceRecord& row) {
  for (const double x :
       {row.loss, row.log10_gap, row.weight_norm, row.log10_gradient_norm, row.step_length, row.one_minus_cos,
        row.angle, row.min_optimal_attention, row.log10_one_minus_optimal_attention})
    if (!std::isfinite(x)) return false;
  return true;
}

double ratio_error(double value, double expected) { return std::fabs(value / expected - 1.0); }

// The laws at `step` (both rules far along), for one number type.
template <class T>
void check_laws(const Problem& problem, const BatchView<T>& batch, std::int64_t step, double one_minus_cos) {
  const auto ngd = run(batch, "ngd:step-size=1", step, problem.limit.weights);
  const auto polyak = run(batch, "polyak", step, problem.limit.weights);
  const TraceRecord &n = ngd.summary.last, &p = polyak.summary.last;
  CHECK(n.one_minus_cos <= one_minus_cos);
  CHECK(p.one_minus_cos <= one_minus_cos);
  const auto t = static_cast<double>(step);
  CHECK(ratio_error(n.log10_gap, -log10_e * n.weight_norm / problem.limit.norm) <= 0.03);
  CHECK(ratio_error(p.log10_gap, -0.5 * log10_e * t) <= 0.03);
  CHECK(ratio_error(n.weight_norm, t) <= 0.01);
  CHECK(ratio_error(p.weight_norm, 0.5 * problem.limit.norm * t) <= 0.03);
  // One constant D: angle = D / norm(W).
  CHECK(ratio_error(n.angle * n.weight_norm, p.angle * p.weight_norm) <= 0.03);
  // It is reached as e^(-slack norm(W) / norm(W_mm)) for the constraint of smallest slack, which may be
  // small: so half way, not at a tenth.
  const TraceRecord& earlier = ngd.before(step / 2);
  CHECK(ratio_error(n.angle * n.weight_norm, earlier.angle * earlier.weight_norm) <= 0.05);
  // 1 - p_opt falls like the gap: exponentially in norm(W).
  CHECK(ratio_error(n.log10_one_minus_optimal_attention, n.log10_gap) <= 0.05);
  for (const auto& rows : {ngd.trace, polyak.trace})
    for (const TraceRecord& row : rows)
      if (row.step > 0 && !all_finite(row)) FAIL("a value is not finite at step " << row.step);
}

// Largest relative difference of 1 - cos, log10 of the gap and norm between two runs at the rows they share.
template <class A, class B>
double largest_difference(const A& a, const B& b) {
  double worst = 0.0;
  for (const TraceRecord& row : a.trace) {
    if (row.step == 0) continue;
    const TraceRecord& other = b.at(row.step);
    for (const double difference :
         {ratio_error(other.one_minus_cos, row.one_minus_cos),
          ratio_error(other.weight_norm, row.weight_norm),
          std::fabs(other.log10_gap - row.log10_gap) / (1 + std::fabs(row.log10_gap))})
      if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("NGD and Polyak turn to W_mm at the rates of the theory", "[trainer]", float, double) {
  for (const std::uint64_t seed : {0u, 1u}) {
    const Problem problem(seed);
    const Dataset<TestType> data = convert<TestType>(problem.data);
    check_laws(problem, data.view(), 3000, 1e-5);
  }
}

TEST_CASE("float32 and float64 give the same curves", "[trainer]") {
  const Problem problem(2);
  const Dataset<float> narrow = convert<float>(problem.data);
  for (const char* rule : {"gd:step-size=20", "ngd:step-size=1", "polyak"}) {
    INFO(rule);
    CHECK(largest_difference(run(problem.data.view(), rule, 2000, problem.limit.weights),
                             run(narrow.view(), rule, 2000, problem.limit.weights)) <= 0.05);
  }
}

TEST_CASE("GD grows like norm(W_mm) log t and follows the same path", "[trainer]") {
  const Problem problem(0);
  const auto gd = run(problem.data.view(), "gd:step-size=20", 10000, problem.limit.weights);
  const double per_decade = gd.at(10000).weight_norm - gd.at(1000).weight_norm;
  CHECK(ratio_error(per_decade, problem.limit.norm / log10_e) <= 0.15);
  // NGD with step 1 has norm(W) close to t: at equal norm the two see the same angle.
  const double norm = gd.at(10000).weight_norm;
  const auto ngd = run(problem.data.view(), "ngd:step-size=1", std::llround(norm), problem.limit.weights);
  CHECK(ratio_error(ngd.summary.last.angle * ngd.summary.last.weight_norm, gd.at(10000).angle * norm) <=
        0.15);
}

TEST_CASE("a decaying schedule takes the steps it says", "[trainer]") {
  const Problem problem(0);
  const auto result =
      run(problem.data.view(), "ngd:step-size=2,schedule-power=0.5", 1000, problem.limit.weights);
  for (const TraceRecord& row : result.trace)
    if (row.step > 0)
      CHECK(ratio_error(row.step_length, 2.0 / std::sqrt(static_cast<double>(row.step))) <= 1e-12);
  CHECK(ratio_error(result.summary.last.weight_norm, 4.0 * std::sqrt(1000.0)) <= 0.1);
}

TEST_CASE("ten data sets to 10000 steps in both precisions", "[trainer][long]") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    INFO("seed " << seed);
    const Problem problem(seed);
    const Dataset<float> narrow = convert<float>(problem.data);
    check_laws(problem, problem.data.view(), 10000, 1e-6);
    check_laws(problem, narrow.view(), 10000, 1e-6);
    for (const char* rule : {"ngd:step-size=1", "polyak"})
      CHECK(largest_difference(run(problem.data.view(), rule, 10000, problem.limit.weights),
                               run(narrow.view(), rule, 10000, problem.limit.weights)) <= 0.05);
  }
}

TEMPLATE_TEST_CASE("nothing is NaN at a million steps", "[trainer][long]", float, double) {
  const Problem problem(4);
  const Dataset<TestType> data = convert<TestType>(problem.data);
  for (const char* rule : {"gd:step-size=20", "ngd:step-size=1", "polyak"}) {
    INFO(rule);
    const auto result = run(data.view(), rule, 1000000, problem.limit.weights);
    CHECK(result.summary.status == TrainStatus::max_iterations);
    for (const TraceRecord& row : result.trace)
      if (row.step > 0 && !all_finite(row)) FAIL("a value is not finite at step " << row.step);
  }
}
