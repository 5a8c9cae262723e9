// What counts as proof that rows cannot be separated (docs/mathematics.md, section 6.2): of rows that can
// nothing does, whatever the multipliers, and of those that cannot what rounding leaves open does not.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "core/max_margin/proofs/ray_proof.h"
#include "max_margin/solver_parts.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Numbers = std::vector<std::vector<double>>;

ExactRows exact(const Numbers& rows) {
  return [rows](std::size_t k) { return ExactRow{rows[k], {}, {1.0}, k}; };
}

const auto goes_on = [] { return true; };

bool proven(const Numbers& rows, std::vector<double> multipliers) {
  const std::vector<double> before = multipliers;
  const bool out = RayProof(exact(rows)).proves(multipliers, goes_on);
  if (!out) CHECK(multipliers == before);
  return out;
}

/// The same rows with zeros behind, so that they do not span the space.
Numbers in_more_dimensions(Numbers rows) {
  for (auto& row : rows) row.insert(row.end(), 2, 0.0);
  return rows;
}

}  // namespace

TEST_CASE("rows that can be separated are proven nothing of, whatever the multipliers", "[max_margin]") {
  // All have a positive first number, e at least: the unit margin is about e, and the shortest combination is
  // of that length.
  for (const double e : {1e-2, 1e-4, 1e-6, 1e-7, 1e-8, 1e-12, 1e-15, 1e-17, 1e-40})
    for (const double third : {0.0, 1e-14, 1e-9, 1e-8, 1e-6, 1e-3, 1.0}) {
      CAPTURE(e, third);
      const Numbers two = {{e, 1}, {e, -1}, {1, 0}}, four = {{e, 1}, {e, -1}, {1, 0}, {e, 0.5}};
      for (const Numbers& rows : {two, four}) {
        std::vector<double> multipliers = {0.5, 0.5, third};
        multipliers.resize(rows.size(), 0.25);
        CHECK_FALSE(proven(rows, multipliers));
        CHECK_FALSE(proven(in_more_dimensions(rows), multipliers));
      }
    }
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (int repeat = 0; repeat < 60; ++repeat) {
    CAPTURE(repeat);
    const double e = std::pow(10.0, -0.25 * repeat);
    Numbers rows(3 + static_cast<std::size_t>(repeat) % 7);
    for (auto& row : rows) row = {e * std::fabs(normal(random)) + 0.01 * e, normal(random), normal(random)};
    std::vector<double> multipliers;
    for (std::size_t k = 0; k < rows.size(); ++k) multipliers.push_back(std::exp(3.0 * normal(random)));
    CHECK_FALSE(proven(rows, multipliers));
    CHECK_FALSE(proven(in_more_dimensions(rows), multipliers));
  }
}

TEST_CASE("multipliers near a ray become one", "[max_margin]") {
  std::mt19937_64 random(9);
  std::uniform_int_distribution<int> entry(-9, 9), times(1, 5);
  std::normal_distribution<double> normal;
  for (const std::size_t dim : {2, 3, 5})
    for (int repeat = 0; repeat < 20; ++repeat) {
      CAPTURE(dim, repeat);
      // Rows of integers, and minus a positive combination of them.
      Numbers rows(dim, std::vector<double>(dim));
      std::vector<double> last(dim, 0.0), ray;
      for (auto& row : rows) {
        const int share = times(random);
        for (std::size_t j = 0; j < dim; ++j) {
          row[j] = entry(random);
          last[j] -= share * row[j];
        }
        ray.push_back(share);
      }
      rows.push_back(last);
      ray.push_back(1.0);
      PartRows parts([&] {
        Rows out;
        for (const auto& row : rows) out.emplace_back(row.begin(), row.end());
        return out;
      }());
      if (std::any_of(parts.given.begin(), parts.given.end(),
                      [](const auto& row) { return norm_of(row) == 0; }))
        continue;
      double sum = 0.0;
      for (std::size_t k = 0; k < ray.size(); ++k) {
        ray[k] *= static_cast<double>(norm_of(parts.given[k])) * (1.0 + 1e-9 * normal(random));
        sum += ray[k];
      }
      std::vector<double> multipliers = ray;
      REQUIRE(RayProof(exact(rows)).proves(multipliers, goes_on));
      Real after = 0;
      for (const double mu : multipliers) {
        CHECK(mu >= 0.0);
        after += static_cast<Real>(mu);
      }
      CHECK(std::fabs(after - static_cast<Real>(sum)) <= 16 * 0x1p-53L * sum);
      // A ray to rounding: what is left of a sum of unit rows.
      CHECK(norm_of(parts.combination(multipliers)) <= 2 * static_cast<Real>(dim + 17) * 0x1p-53L * after);
      CHECK_FALSE(RayProof(exact(rows)).proves(multipliers, [] { return false; }));
    }
}

TEST_CASE("a multiplier within what rounding leaves open is no proof", "[max_margin]") {
  // Rows +-(1, t) with t = 0, share e and e: the only ray is (1 - share, 1, share), with the sum 2. The
  // second singular value of the three is sqrt(2/3) e, to its square. The sum of m rows is known to 2 (m +
  // 16) u at best, so there is a proof only where 2 (3 + 16) u / sigma is below share / 2.
  constexpr double e = 0x1p-21;
  const double needed = 2.0 * 19.0 * 0x1p-53 / (std::sqrt(2.0 / 3.0) * e);
  for (const double share : {0x1p-29, 0x1p-28, 0x1p-27, 0x1p-20, 0x1p-10}) {
    CAPTURE(share);
    const Numbers rows = {{1, 0}, {-1, -share * e}, {1, e}};
    const std::vector<double> ray = {1.0 - share, 1.0, share};
    const bool may_be = needed < 0.5 * share;
    CHECK(may_be == (share > 0x1p-26));
    CHECK(proven(rows, ray) == may_be);
    CHECK(proven(in_more_dimensions(rows), ray) == may_be);
  }
}

TEST_CASE("rows without a sign take part with any, and prove nothing alone", "[max_margin]") {
  // a = (3, 4) / 5 is -(3/5) f_1 + (4/5) f_2 of the free rows f_1 = (-1, 0), f_2 = (0, 1), whatever their
  // signs.
  const RayProof proof(exact({{3, 4}, {1, 1}}), exact({{-1, 0}, {0, 1}}));
  std::vector<double> multipliers = {1.0, 0.0}, free = {0.6 + 1e-10, -0.8};
  REQUIRE(proof.proves(multipliers, free, goes_on));
  CHECK(multipliers == std::vector<double>{1.0, 0.0});
  CHECK(std::fabs(free[0] - 0.6) <= 1e-14);
  CHECK(std::fabs(free[1] + 0.8) <= 1e-14);
  // Free rows that depend on each other say nothing of margins.
  const RayProof alone(exact({{0, 1}}), exact({{1, 0}, {2, 0}}));
  std::vector<double> none = {0.0}, both = {1.0, -1.0};
  CHECK_FALSE(alone.proves(none, both, goes_on));
  none = {1e-12};
  CHECK_FALSE(alone.proves(none, both, goes_on));
}
