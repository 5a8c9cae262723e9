// The certificate of wrong answers: it never claims more than the definitions (docs/mathematics.md,
// section 6.2) and the known solution allow.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/max_margin/proofs/certificate.h"
#include "max_margin/certificate_check.h"
#include "max_margin/oracle.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// What measure() is given of the rows A_k, multipliers lambda of these and any W.
struct Given {
  std::vector<double> multipliers, sizes, values;
  double squared_norm = 0.0, combination_squared = 0.0;

  Given(const Rows& rows, const std::vector<Real>& lambda, const std::vector<Real>& w) {
    std::vector<Real> combination(w.size(), 0);
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const Real size = norm_of(rows[k]);
      sizes.push_back(static_cast<double>(size));
      multipliers.push_back(static_cast<double>(lambda[k] * size));
      values.push_back(static_cast<double>(dot(rows[k], w) / size));
      for (std::size_t j = 0; j < w.size(); ++j) combination[j] += lambda[k] * rows[k][j];
    }
    squared_norm = static_cast<double>(dot(w, w));
    combination_squared = static_cast<double>(dot(combination, combination));
  }
  Certificate measured() const {
    return measure(multipliers, sizes, values, squared_norm, combination_squared);
  }
};

Real smallest_margin(const Rows& rows, const std::vector<Real>& w) {
  Real out = INFINITY;
  for (const auto& row : rows) out = std::min(out, dot(row, w));
  return out;
}

// <(2,0,0), W> >= 1, <(0,1,0), W> >= 1, <(1,1,1/4), W> >= 1: W = (1/2, 1, 0) with lambda = (1/4, 1, 0).
const Rows three = {{2, 0, 0}, {0, 1, 0}, {1, 1, 0.25L}};
const std::vector<Real> three_solved = {0.5L, 1, 0}, three_multipliers = {0.25L, 1, 0};

}  // namespace

TEST_CASE("the certificate of the solution is 0, and its factor undoes a common one", "[max_margin]") {
  for (const Real factor : {0.25L, 1.0L, 8.0L}) {
    std::vector<Real> lambda, w;
    for (const Real l : three_multipliers) lambda.push_back(factor * l);
    for (const Real x : three_solved) w.push_back(factor * x);
    const Certificate certificate = Given(three, lambda, w).measured();
    CHECK(certificate.factor == static_cast<double>(1 / factor));
    CHECK(certificate.smallest == 1.0);
    CHECK(certificate.duality_gap == 0.0);
    CHECK(certificate.kkt_residual == 0.0);
    CHECK(certificate.error() == 0.0);
    CHECK(certificate.within(1e-300));
  }
}

TEST_CASE("a violated constraint without a multiplier is in gap and residual", "[max_margin]") {
  // W = (1, 0) of the first row alone; <(0.3, 0.4), W> = 0.3. Feasible is W / 0.3.
  const Certificate certificate = Given({{1, 0}, {0.3L, 0.4L}}, {1, 0}, {1, 0}).measured();
  CHECK(std::fabs(certificate.smallest - 0.3) <= 4 * 0x1p-53);
  CHECK(std::fabs(certificate.duality_gap - (1.0 - 0.09)) <= 8 * 0x1p-53);
  CHECK(std::fabs(certificate.kkt_residual - 0.7) <= 8 * 0x1p-53);
  CHECK_FALSE(certificate.within(0.9));
  // One that is violated for every multiple of W: no gap is finite.
  const Certificate never = Given({{1, 0}, {-0.6L, 0.8L}}, {1, 0}, {1, 0}).measured();
  CHECK(never.duality_gap == infinity);
  CHECK(std::fabs(never.kkt_residual - 1.6) <= 8 * 0x1p-53);
  CHECK(never.error() == infinity);
}

TEST_CASE("a W that is longer than its multipliers make it has a gap", "[max_margin]") {
  // Feasible, and complementary to the right multipliers; only its length is wrong. ||W*||^2 / ||W||^2 = 1/2.
  const Certificate certificate = Given({{1, 0}}, {1}, {1, 1}).measured();
  CHECK(certificate.factor == 1.0);
  CHECK(certificate.smallest == 1.0);
  CHECK(certificate.kkt_residual == 0.0);
  CHECK(certificate.duality_gap == 0.5);
  CHECK_FALSE(certificate.within(0.4));
  // A W that is shorter has a smaller margin: 1/2 of (1/2, 0).
  const Certificate shorter = Given({{1, 0}}, {1}, {0.5L, 0}).measured();
  CHECK(shorter.factor == 1.0);
  CHECK(shorter.smallest == 0.5);
  CHECK(shorter.kkt_residual == 0.5);
  CHECK(shorter.duality_gap == 0.0);  // that of W / smallest, which is the solution
}

TEST_CASE("a multiplier of a constraint that is more than met is a residual", "[max_margin]") {
  // The third row has the margin 3/2 and half of the largest multiplier.
  const Certificate certificate = Given(three, {0.25L, 1, 0.5L}, three_solved).measured();
  CHECK(certificate.kkt_residual > 0.0);
  CHECK(certificate.duality_gap > 0.0);
  // Rows of other lengths: lambda is that of the A_k, not that of the unit rows, which is (4, 1).
  const Certificate sizes = Given({{4, 0}, {0, 1}}, {1, 1}, {0.5L, 1}).measured();
  const Real factor = 2.0L / 17;  // sum lambda / ||(4, 1)||^2
  CHECK(std::fabs(sizes.factor - static_cast<double>(factor)) <= 8 * 0x1p-53);
  CHECK(std::fabs(sizes.kkt_residual - static_cast<double>(1 - factor)) <= 16 * 0x1p-53);
}

TEST_CASE("negative multipliers and numbers that are none do not pass", "[max_margin]") {
  const Given good(three, three_multipliers, three_solved);
  REQUIRE(good.measured().within(1e-15));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto fails = [](const Given& given) {
    const Certificate certificate = given.measured();
    CHECK(std::isnan(certificate.smallest));
    CHECK(std::isnan(certificate.duality_gap));
    CHECK(std::isnan(certificate.kkt_residual));
    CHECK(std::isnan(certificate.error()));
    CHECK_FALSE(certificate.within(infinity));
  };
  for (std::size_t k = 0; k < three.size(); ++k) {
    CAPTURE(k);
    Given given = good;
    given.multipliers[k] = nan;
    fails(given);
    given = good;
    given.values[k] = nan;
    fails(given);
    given = good;
    given.multipliers[k] = -1e-3 * given.sizes[k];  // lambda_k = -1e-3 of the largest, 1
    CHECK(given.measured().kkt_residual >= 0.9e-3);
    CHECK_FALSE(given.measured().within(0.9e-3));
  }
  for (const double bad : {nan, infinity, 0.0}) {
    CAPTURE(bad);
    Given given = good;
    given.squared_norm = bad;
    CHECK_FALSE(given.measured().within(1.0));
    given = good;
    given.combination_squared = bad;
    CHECK_FALSE(given.measured().within(1.0));
  }
  Given none = good;
  none.multipliers.assign(3, 0.0);
  fails(none);
  // Rows of size 0 are no constraints, whatever else is said of them; without others there is no answer.
  Given more = good;
  more.sizes.push_back(0.0);
  more.multipliers.push_back(nan);
  more.values.push_back(nan);
  CHECK(more.measured().within(1e-15));
  more.sizes.assign(4, 0.0);
  fails(more);
}

TEST_CASE("no W, right or wrong, is claimed to be nearer to the solution than it is", "[max_margin]") {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  constexpr std::size_t dim = 5;
  int finite = 0, infinite = 0;
  for (int problem = 0; problem < 30; ++problem) {
    Rows rows = three;
    std::vector<Real> solved = three_solved, solved_multipliers = three_multipliers;
    if (problem > 0) {
      rows.assign(2 + static_cast<std::size_t>(problem) % 6, {});
      for (auto& row : rows)
        for (std::size_t j = 0; j < dim; ++j) row.push_back(normal(random) + (j == 0 ? 1.5 : 0.0));
      const OracleAnswer exact = solve_exactly(rows);
      if (!exact.separable) continue;
      solved = exact.weights;
      solved_multipliers.clear();
    }
    const Real optimum = dot(solved, solved);
    for (const double wrong : {0.0, 1e-9, 1e-4, 1e-2, 0.3, 3.0})
      for (int repeat = 0; repeat < 12; ++repeat) {
        CAPTURE(problem, wrong, repeat);
        std::vector<Real> w = solved, lambda(rows.size());
        for (Real& x : w) x += wrong * normal(random);
        for (Real& l : lambda) l = std::max(0.0, normal(random));
        if (repeat % 2 == 0 && !solved_multipliers.empty()) lambda = solved_multipliers;
        Real sum = 0, largest = 0;
        std::vector<Real> combination(w.size(), 0);
        for (std::size_t k = 0; k < rows.size(); ++k) {
          sum += lambda[k];
          largest = std::max(largest, lambda[k]);
          for (std::size_t j = 0; j < w.size(); ++j) combination[j] += lambda[k] * rows[k][j];
        }
        if (sum == 0) continue;
        if (repeat % 3 == 0) w = combination;  // as the solver's are
        const Certificate certificate = Given(rows, lambda, w).measured();
        const Real least = smallest_margin(rows, w), primal = dot(w, w) / (least * least),
                   s = sum / dot(combination, combination), ratio = dot(combination, combination) / dot(w, w);
        // The sums have positive terms; every product and quotient is rounded once, and so is what was given.
        const Real unit = 8 * static_cast<Real>(rows.size() + 8) * 0x1p-53L;
        const Real of_gap = unit * (1 + s * least * s * least * (1 + ratio));

        // The definitions.
        Real residual = 0, longest = 0;
        for (std::size_t k = 0; k < rows.size(); ++k) {
          const Real margin = s * dot(rows[k], w);
          residual = std::max(residual, std::fabs(std::min(lambda[k] / largest, margin - 1)));
          longest = std::max(longest, s * norm_of(rows[k]) * norm_of(w));
        }
        CHECK(std::fabs(certificate.factor - s) <= unit * s);
        CHECK(std::fabs(certificate.kkt_residual - residual) <= unit * (1 + longest));
        if (least <= 0) {
          ++infinite;
          CHECK(certificate.duality_gap == infinity);
          continue;
        }
        ++finite;
        const Real dual = s * sum;  // twice the dual at its best multiple, as primal is twice the primal
        CHECK(std::fabs(certificate.duality_gap - (primal - dual) / primal) <= of_gap);

        // And what they promise: the bound is one, and the feasible multiple of W is not farther than it
        // says.
        CHECK(primal * (1 - static_cast<Real>(certificate.duality_gap)) <= optimum + of_gap * primal);
        Real apart = 0;
        for (std::size_t j = 0; j < w.size(); ++j)
          apart += (w[j] / least - solved[j]) * (w[j] / least - solved[j]);
        CHECK(apart <= (certificate.duality_gap + of_gap) * primal);
      }
  }
  CHECK(finite >= 300);
  CHECK(infinite >= 100);
}

TEST_CASE("the length of a convex combination", "[max_margin]") {
  // (3 e1 + 1 e2) / 4
  CHECK(combination_length({3.0, 1.0}, 10.0) == std::sqrt(10.0) / 4.0);
  CHECK(combination_length({1.0, 1.0}, 0.0) == 0.0);
  CHECK_FALSE(combination_length({0.0, 0.0}, 0.0) <= 1.0);  // no combination, and no short one
  CHECK_FALSE(combination_length({1.0, std::numeric_limits<double>::quiet_NaN()}, 0.0) <= 1.0);
}

TEST_CASE("an answer to a loose tolerance says how far off it is", "[max_margin]") {
  // Where the ascent stops early, W violates constraints without a multiplier and is scaled until it does
  // not.
  double largest_gap = 0.0;
  for (const double tolerance : {0.9, 0.5, 0.1, 1e-2, 1e-3, 1e-5})
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      CAPTURE(tolerance, seed);
      const Dataset<double> data = generate({.n_samples = 12, .n_tokens = 6, .dim = 12, .seed = seed});
      const MaxMarginResult result =
          solve_max_margin(data.view(), {.tolerance = tolerance, .max_gram_rows = 0});
      check_certificate(data.view(), result, tolerance);
      largest_gap = std::max(largest_gap, result.duality_gap);
    }
  CHECK(largest_gap >= 0.1);  // or nothing was loose
}
