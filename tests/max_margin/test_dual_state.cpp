// A point of the dual with its W and gradient: whatever has been done to it, they are those of the
// multipliers.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "core/max_margin/ascent/dual_ascent.h"
#include "max_margin/solver_parts.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// The gradient <a_k, W> - target_k and W = sum_k lambda_k a_k afresh, in long double. Rounding: the state's
/// have been through a few sums of at most n + dim terms each.
void check_follows(const PartRows& rows, const DualState& state) {
  const std::vector<Real> w = rows.combination(state.multipliers);
  Real sizes = 1;
  for (std::size_t k = 0; k < rows.units.size(); ++k)
    sizes += std::fabs(static_cast<Real>(state.multipliers[k])) + static_cast<Real>(state.targets[k]);
  const Real rounding = 8 * static_cast<Real>(rows.units.size() + w.size() + 8) * 0x1p-53L * sizes;
  for (std::size_t j = 0; j < w.size(); ++j)
    CHECK(std::fabs(static_cast<Real>(state.span[j]) - w[j]) <= rounding);
  for (std::size_t k = 0; k < rows.units.size(); ++k)
    CHECK(std::fabs(static_cast<Real>(state.gradient[k]) - (dot(rows.units[k], w) - state.targets[k])) <=
          rounding);
}

}  // namespace

TEST_CASE("a rescaled point is at its best multiple, and its gradient follows", "[max_margin]") {
  // lambda = (1, 1) of e_1 and e_2, targets 1 and 2: 3/2 of it, where the gradient is 3/2 - 1 and 3/2 - 2.
  PartRows two({{1, 0}, {0, 0.5L}});
  DualState state(two.map, two.targets);
  std::fill(state.multipliers.begin(), state.multipliers.end(), 1.0);
  state.refresh();
  state.rescale();
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(state.multipliers[k] == 1.5);
    CHECK(state.span[k] == 1.5);
    CHECK(state.gradient[k] == (k == 0 ? 0.5 : -0.5));
  }
  CHECK(state.best_dual_value() == 4.5);
  // Nothing to rescale: W = 0.
  DualState zero(two.map, two.targets);
  zero.rescale();
  for (std::size_t k = 0; k < 2; ++k) {
    CHECK(zero.multipliers[k] == 0.0);
    CHECK(zero.gradient[k] == -two.targets[k]);
  }
}

TEST_CASE("gradient and W of a point follow its multipliers", "[max_margin]") {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  for (int repeat = 0; repeat < 20; ++repeat) {
    CAPTURE(repeat);
    PartRows rows(normal_rows(9, 6, 1.5, random));
    DualState state(rows.map, rows.targets);
    check_follows(rows, state);
    for (double& l : state.multipliers) l = std::fabs(normal(random));
    CHECK(state.feasible());
    state.stale = true;
    CHECK_FALSE(state.feasible());
    state.refresh();
    CHECK(state.feasible());
    check_follows(rows, state);
    const std::vector<Real> sum = rows.combination(state.multipliers);
    const Real squared = dot(sum, sum);
    CHECK(std::fabs(static_cast<Real>(state.combination_squared) / squared - 1) <= 64 * 0x1p-53L);
    CHECK(std::fabs(static_cast<Real>(state.squared_norm()) / squared - 1) <= 64 * 0x1p-53L);
    // W that has drifted is replaced, however it was.
    for (double& x : state.span) x += 1e-12 * normal(random);
    state.refresh();
    check_follows(rows, state);

    // A step of any length along any p.
    std::vector<double> p;
    for (std::size_t k = 0; k < 9; ++k) p.push_back(normal(random));
    const DualState::Line line = state.look_along(p);
    const std::vector<Real> image = rows.combination(p);
    Real slope = 0, length = 0;
    for (std::size_t k = 0; k < 9; ++k) {
      slope += static_cast<Real>(state.gradient[k]) * static_cast<Real>(p[k]);
      length += static_cast<Real>(p[k]) * static_cast<Real>(p[k]);
    }
    CHECK(std::fabs(static_cast<Real>(line.curvature) / dot(image, image) - 1) <= 1e-13L);
    CHECK(std::fabs(static_cast<Real>(line.slope) - slope) <= 1e-13L * (1 + std::fabs(slope)));
    CHECK(state.largest_curvature >= static_cast<double>(dot(image, image) / length) * (1.0 - 1e-13));
    std::vector<double> x;
    Real expected = 0;
    for (std::size_t k = 0; k < 9; ++k) {
      x.push_back(normal(random));
      expected += static_cast<Real>(x[k]) * dot(rows.units[k], image);
    }
    CHECK(std::fabs(static_cast<Real>(state.image_product(x)) - expected) <=
          1e-13L * (1 + std::fabs(expected)));
    for (std::size_t k = 0; k < 9; ++k) state.multipliers[k] += 0.75 * p[k];
    state.follow(0.75);
    check_follows(rows, state);

    // A direction in which the dual grows.
    for (double& value : p) value = -std::fabs(value);
    state.look_along(p);
    state.become_ray(p);
    for (std::size_t k = 0; k < 9; ++k) CHECK(state.multipliers[k] == -p[k]);
    const std::vector<Real> w = rows.combination(state.multipliers);
    for (std::size_t j = 0; j < w.size(); ++j)
      CHECK(std::fabs(static_cast<Real>(state.span[j]) - w[j]) <= 64 * 0x1p-53L * 9);
  }
}

TEST_CASE("other targets change the gradient and not the point", "[max_margin]") {
  std::mt19937_64 random(12);
  PartRows rows(normal_rows(9, 6, 1.5, random));
  DualAscent ascent(rows.map, rows.targets, 1);
  for (int step = 0; step < 3; ++step) ascent.step();
  const std::vector<double> before = ascent.state().multipliers;
  std::vector<double> targets = rows.targets;
  for (double& target : targets) target *= 1.25;
  targets[4] += 0.5;
  ascent.set_targets(targets);
  CHECK(ascent.state().targets == targets);
  CHECK(ascent.state().multipliers == before);
  check_follows(rows, ascent.state());
}
