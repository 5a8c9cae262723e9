// The search for multipliers mu >= 0 with sum_k mu_k a_k = 0: what it says is held against the rows in long
// double, and how soon it says so against what conjugate gradients promise.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/max_margin/proofs/ray_search.h"
#include "max_margin/solver_parts.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double tolerance = 1e-13;

struct Run {
  bool found = false;
  std::size_t products = 0;
  std::vector<double> multipliers;
};

Run search(PartRows& rows, const std::vector<double>& start, std::size_t most,
           std::size_t stop_at = std::numeric_limits<std::size_t>::max()) {
  RaySearch ray(rows.map);
  Run out;
  out.found = ray.run(start, tolerance, most, [&] { return ++out.products < stop_at; });
  out.multipliers = ray.multipliers();
  CHECK(out.products <= most + 1);
  if (!out.found) return out;
  Real sum = 0;
  for (const double mu : out.multipliers) {
    REQUIRE(mu >= 0.0);
    sum += static_cast<Real>(mu);
  }
  // The search's own sum of n unit rows is off by n + 4 rounding units at most.
  const Real rounding = static_cast<Real>(start.size() + 4) * 0x1p-53L;
  CHECK(norm_of(rows.combination(out.multipliers)) <= (static_cast<Real>(tolerance) + rounding) * sum);
  CHECK(sum > 0.1L);
  return out;
}

}  // namespace

TEST_CASE("a ray of two rows is found in one step", "[max_margin]") {
  // From (2/3, 1/3) the gradient is (1/3, -1/3) and the step 1/2. The start, the step and the check are one
  // product each.
  PartRows rows({{1, 0}, {-1, 0}});
  const Run run = search(rows, {2.0, 1.0}, 2);
  REQUIRE(run.found);
  CHECK(run.products == 3);
  CHECK(std::fabs(run.multipliers[0] - 0.5) <= 2 * 0x1p-53);
  CHECK(std::fabs(run.multipliers[1] - 0.5) <= 2 * 0x1p-53);
}

TEST_CASE("a row that is in no ray is left out", "[max_margin]") {
  // (0, 1) is to have no multiplier: the first step takes it there, whatever it was.
  PartRows rows({{1, 0}, {-1, 0}, {0, 1}});
  for (const double share : {1.0, 0.25, 1e-3}) {
    CAPTURE(share);
    const Run run = search(rows, {1.0, 1.0, share}, 2);
    REQUIRE(run.found);
    CHECK(run.products == 3);
    CHECK(run.multipliers[2] == 0.0);
    CHECK(run.multipliers[0] == run.multipliers[1]);
  }
  // The step is not along the row that has to go.
  PartRows slanted({{1, 0}, {-1, 0}, {0.6L, 0.8L}});
  const Run run = search(slanted, {3.0, 9.0, 1.0}, 20);
  REQUIRE(run.found);
  CHECK(run.multipliers[2] == 0.0);
}

TEST_CASE("near a ray the search takes as many steps as the rows have dimensions", "[max_margin]") {
  // d rows and minus a combination of them, which is the only ray. Conjugate gradients never go farther from
  // it than they began (Hestenes and Stiefel 1952, theorem 6:3), so no multiplier meets its bound, and in
  // exact arithmetic they end after d steps. Rounding: one more at most, as the rows are well conditioned.
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> share(0.5, 1.0), off(-0.05, 0.05);
  for (const std::size_t dim : {2, 3, 4, 6})
    for (int repeat = 0; repeat < 10; ++repeat) {
      CAPTURE(dim, repeat);
      Rows given(dim + 1, std::vector<Real>(dim, 0));
      for (std::size_t k = 0; k < dim; ++k) {
        given[k][k] = 1;
        given[k][(k + 1) % dim] += 0.25L;
        for (std::size_t j = 0; j < dim; ++j) given[dim][j] -= share(random) * given[k][j];
      }
      // The numbers that the search is given.
      for (auto& row : given)
        for (Real& x : row) x = static_cast<double>(x);
      PartRows rows(given);
      // The ray, from the first d rows: M^T mu = -a_d, and its start, off by less than any of its
      // multipliers.
      std::vector<std::size_t> named;
      for (std::size_t k = 0; k < dim; ++k) named.push_back(k);
      std::vector<Real> target;
      for (const Real x : rows.units[dim]) target.push_back(-x);
      std::vector<Real> exact = least_squares(rows.units, named, target);
      exact.push_back(1);
      std::vector<double> start;
      Real least = 1, apart = 0;
      for (const Real mu : exact) {
        start.push_back(static_cast<double>(mu) + off(random));
        least = std::min(least, mu);
        apart += (static_cast<Real>(start.back()) - mu) * (static_cast<Real>(start.back()) - mu);
      }
      REQUIRE(std::sqrt(apart) < least);
      const Run run = search(rows, start, dim + 2);
      REQUIRE(run.found);
      CHECK(run.products <= dim + 3);  // the start and the check beside the steps
      Real sum = 0;
      for (const double mu : run.multipliers) sum += static_cast<Real>(mu);
      Real of_exact = 0;
      for (const Real mu : exact) of_exact += mu;
      for (std::size_t k = 0; k <= dim; ++k)
        CHECK(std::fabs(static_cast<Real>(run.multipliers[k]) / sum - exact[k] / of_exact) <= 1e-11L);
    }
}

TEST_CASE("no ray is found in rows that can be separated", "[max_margin]") {
  std::mt19937_64 random(6);
  for (int repeat = 0; repeat < 40; ++repeat) {
    CAPTURE(repeat);
    PartRows rows(normal_rows(3 + static_cast<std::size_t>(repeat) % 8, 4, 2.5, random));
    if (!solve_exactly(rows.given).separable) continue;
    std::uniform_real_distribution<double> share(0.0, 1.0);
    std::vector<double> start;
    for (std::size_t k = 0; k < rows.given.size(); ++k) start.push_back(share(random));
    CHECK_FALSE(search(rows, start, 60).found);
  }
}

TEST_CASE("rows that cannot be separated have their ray found from anywhere", "[max_margin]") {
  // Twice as many rows as dimensions on average: most have a ray, and those that have none are not said to.
  std::mt19937_64 random(8);
  int found = 0, none = 0;
  for (int repeat = 0; repeat < 60; ++repeat) {
    CAPTURE(repeat);
    PartRows rows(normal_rows(14, 4, 0.0, random));
    std::vector<double> start;
    std::uniform_real_distribution<double> share(0.0, 1.0);
    for (std::size_t k = 0; k < 14; ++k) start.push_back(share(random));
    const bool separable = solve_exactly(rows.given).separable;
    const Run run = search(rows, start, 200);
    if (separable)
      CHECK_FALSE(run.found);
    else
      ++(run.found ? found : none);
  }
  // A search may run into mu = 0 and end. Set after seeing 59 of 59 found.
  CHECK(found >= 50);
  CHECK(none <= 5);
}

TEST_CASE("a search that is stopped or has nothing to begin with finds nothing", "[max_margin]") {
  PartRows rows({{1, 0}, {-1, 0}});
  for (const std::size_t stop : {1, 2, 3}) {
    const Run run = search(rows, {2.0, 1.0}, 50, stop);
    CHECK_FALSE(run.found);
    CHECK(run.products == stop);
  }
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const auto& start : std::vector<std::vector<double>>{{0, 0}, {nan, 1}, {infinity, 1}})
    CHECK_FALSE(search(rows, start, 50).found);
}
