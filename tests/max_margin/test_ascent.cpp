// The two phases of the ascent by themselves: which rows the first takes in, and that no step of the second
// loses.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "core/max_margin/ascent/active_set_phase.h"
#include "core/max_margin/ascent/dual_ascent.h"
#include "core/max_margin/ascent/face_preconditioner.h"
#include "max_margin/solver_parts.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// 1/2 ||sum lambda_k a_k||^2 - sum target_k lambda_k, which the ascent minimises: -1/2 ||W_mm||^2 at the
/// solution.
Real objective(const PartRows& rows, const std::vector<double>& multipliers) {
  const std::vector<Real> w = rows.combination(multipliers);
  Real sum = 0;
  for (std::size_t k = 0; k < multipliers.size(); ++k)
    sum += static_cast<Real>(multipliers[k]) * static_cast<Real>(rows.targets[k]);
  return dot(w, w) / 2 - sum;
}

/// `copies` of normal rows, each copy with a jitter of its own: they nearly depend on each other.
Rows near_copies(std::size_t n, std::size_t copies, std::size_t dim, double jitter, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  const Rows base = normal_rows(n, dim, 2.0, random);
  Rows out;
  for (std::size_t c = 0; c < copies; ++c)
    for (std::vector<Real> row : base) {
      for (Real& x : row) x = static_cast<double>(x + jitter * normal(random));
      out.push_back(row);
    }
  return out;
}

}  // namespace

TEST_CASE("the active set takes in what is violated, face by face", "[max_margin]") {
  // W = (2, 2, 1/2, 0) with lambda ||A|| = (2, 2, 1/2, 0), the fourth constraint being met by 1.6. Followed
  // by hand: all four rows at equality need w_4 = -1.2, the fourth multiplier below 0, and with it the third,
  // 1/2 - 0.96; both are fixed. The first two alone leave the third violated: w_3 = 0. With it the solution
  // is reached.
  PartRows rows({{0.5L, 0, 0, 0}, {0, 0.5L, 0, 0}, {0, 0, 2, 0}, {0.6L, 0.3L, -0.4L, 0.5L}});
  DualState state(rows.map, rows.targets);
  FacePreconditioner preconditioner(rows.map, 1);
  ActiveSetPhase phase(state, preconditioner);
  const auto is_near = [&](const std::vector<double>& multipliers, double tolerance) {
    for (std::size_t k = 0; k < 4; ++k) CHECK(std::fabs(state.multipliers[k] - multipliers[k]) <= tolerance);
  };
  // One block of rows: the preconditioner is the inverse but for its ridge, 1e-8, over the least eigenvalue
  // of the Gram matrix. That is above 1/30, as its determinant is 1/4 / 0.86 and the others are below 2. So
  // one step solves a face to 1e-6.
  phase.step();
  is_near({3.44, 2.72, 0, 0}, 1e-5);
  REQUIRE(state.stale);
  state.refresh();
  phase.step();
  is_near({2, 2, 0, 0}, 1e-5);
  phase.step();
  is_near({2, 2, 0.5, 0}, 1e-5);
  phase.step();
  is_near({2, 2, 0.5, 0}, 1e-11);
  CHECK(phase.alive());
  CHECK(state.feasible());
}

TEST_CASE("no step of the safe phase loses, and it ends at the solution", "[max_margin]") {
  std::mt19937_64 random(5);
  int began_far = 0;
  for (const double jitter : {1e-1, 1e-2, 1e-3, 0.0})
    for (int repeat = 0; repeat < 20; ++repeat) {
      CAPTURE(jitter, repeat);
      const Rows given =
          jitter == 0.0 ? normal_rows(12, 6, 2.0, random) : near_copies(5, 4, 4, jitter, random);
      const OracleAnswer exact = solve_exactly(given);
      if (!exact.separable) continue;
      const Real optimum = -exact.norm * exact.norm / 2;
      PartRows rows(given);
      DualAscent ascent(rows.map, rows.targets, 1);
      for (int step = 0; step < 20000 && (!ascent.safe() || ascent.state().stale); ++step) ascent.step();
      REQUIRE(ascent.safe());
      Real last = objective(rows, ascent.state().multipliers);
      began_far += last > 0.999L * optimum;
      int steps = 0;
      // Set after seeing 114 at most.
      for (; steps < 400 && last > (1 - 1e-8L) * optimum; ++steps) {
        ascent.step();
        REQUIRE_FALSE(ascent.unbounded());
        REQUIRE(ascent.state().feasible());
        const Real now = objective(rows, ascent.state().multipliers);
        Real sum = 1;
        for (const double l : ascent.state().multipliers) sum += static_cast<Real>(l);
        // A step of the size of the multipliers, times the rounding of a gradient of that many terms.
        REQUIRE(now <= last + static_cast<Real>(given.size() + 16) * 0x1p-53L * sum * sum);
        last = now;
      }
      CHECK(last <= (1 - 1e-8L) * optimum);
      CHECK(last >= (1 + 1e-12L) * optimum);  // no point is below the optimum
    }
  CHECK(began_far >= 20);
}

TEST_CASE("a direction without curvature is a ray", "[max_margin]") {
  PartRows rows({{2, 0}, {-2, 0}});
  DualAscent ascent(rows.map, rows.targets, 1);
  // The first phase meets no curvature and gives up, W is computed afresh, and the next step releases both
  // rows.
  for (int step = 0; step < 3; ++step) {
    CHECK_FALSE(ascent.unbounded());
    ascent.step();
  }
  REQUIRE(ascent.unbounded());
  CHECK(ascent.state().multipliers[0] > 0.0);
  CHECK(ascent.state().multipliers[0] == ascent.state().multipliers[1]);
  CHECK(ascent.state().squared_norm() == 0.0);
}
