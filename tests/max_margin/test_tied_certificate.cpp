// What the certificate of tied tokens says where double leaves something of the equalities or of the
// combination.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/oracle.h"
#include "softstep/max_margin.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr std::size_t dim = 3;

/// One sample: token 0 is at the origin and tied with 1 and 2; token 3 is to lose. The query is (1, 0, 0).
struct Tied {
  std::vector<double> tokens, query = {1, 0, 0};
  std::vector<std::int8_t> labels = {1};

  TiedMaxMarginResult solve(double tolerance) const {
    BatchView<double> view;
    view.tokens = tokens.data();
    view.n_samples = 1;
    view.n_tokens = 4;
    view.dim = dim;
    view.labels = labels.data();
    view.queries = query.data();
    return solve_max_margin_with_ties(view, {{0, 1, 2}}, {.tolerance = tolerance});
  }
  /// (x_0 - x_t) z^T
  std::vector<Real> row(std::size_t t) const {
    std::vector<Real> out;
    for (std::size_t r = 0; r < dim; ++r)
      for (std::size_t c = 0; c < dim; ++c)
        out.push_back((static_cast<Real>(tokens[r]) - static_cast<Real>(tokens[t * dim + r])) *
                      static_cast<Real>(query[c]));
    return out;
  }
};

/// From the definitions.
struct Residuals {
  Real equality = 0, stationarity = 0;

  Residuals(const Tied& problem, const TiedMaxMarginResult& result) {
    std::vector<Real> w(result.solution.weights.begin(), result.solution.weights.end()), rest = w;
    const auto take_away = [&](Real multiplier, const std::vector<Real>& row) {
      for (std::size_t j = 0; j < rest.size(); ++j) rest[j] -= multiplier * row[j];
    };
    for (const std::size_t e : {1, 2}) {
      const std::vector<Real> row = problem.row(e);
      equality = std::max(equality, std::fabs(dot(row, w)) / norm_of(row) / norm_of(w));
      take_away(result.equality_multipliers[e], row);
    }
    take_away(result.solution.multipliers[3], problem.row(3));
    stationarity = norm_of(rest) / norm_of(w);
  }
};

}  // namespace

TEST_CASE("an equality lost to rounding is in the residual, and decides the ending", "[max_margin]") {
  // x_1 = (1, 0, 0) and x_2 = (1, e, 0): the equalities are w_1 = 0 and e w_2 = 0. The second is not told
  // from the first, and W = (0, 1, 0) z^T leaves e of it. All numbers are exact, so nothing else is wrong
  // with W.
  constexpr double e = 0x1p-48;
  const Tied problem{.tokens = {0, 0, 0, 1, 0, 0, 1, e, 0, 0, -1, 0}};
  for (const double tolerance : {1e-10, 1e-15}) {
    CAPTURE(tolerance);
    const TiedMaxMarginResult result = problem.solve(tolerance);
    CHECK(result.n_equalities == 2);
    CHECK(result.equality_rank == 1);
    REQUIRE(result.solution.weights == std::vector<double>{0, 0, 0, 1, 0, 0, 0, 0, 0});
    CHECK(result.solution.duality_gap == 0.0);
    CHECK(result.stationarity_residual == 0.0);
    CHECK(Residuals(problem, result).equality >= 0.999L * e);
    CHECK(std::fabs(result.equality_residual - e) <= 1e-3 * e);
    CHECK(result.solution.kkt_residual >= 0.999 * e);
    CHECK((result.solution.status == MaxMarginStatus::optimal) == (tolerance > e));
    CHECK((result.solution.status == MaxMarginStatus::at_rounding) == (tolerance < e));
  }
}

TEST_CASE("a combination lost to rounding is in the residual, and decides the ending", "[max_margin]") {
  // Equalities that are e apart: the part of (0, 1, 1) z^T in their span is taken away by multipliers of the
  // size 1 / e, which leave about 2^-53 / e of rounding. W = (0, 0, 1) z^T itself is right to the last
  // digits.
  for (const double e : {1e-9, 1e-11, 1e-12}) {
    CAPTURE(e);
    const Tied problem{.tokens = {0, 0, 0, 0.7, 0.3, 0, 0.7, 0.3 + e, 0, 0, -1, -1}};
    constexpr double tolerance = 1e-10;
    const TiedMaxMarginResult result = problem.solve(tolerance);
    const Residuals exact(problem, result);
    CHECK(result.equality_rank == 2);
    CHECK(exact.equality <= 16 * 0x1p-53L);
    CHECK(std::fabs(result.solution.norm - 1.0) <= 1e-9);
    REQUIRE(exact.stationarity > tolerance);  // else nothing was lost here
    CHECK(result.solution.status == MaxMarginStatus::at_rounding);
    CHECK(result.solution.kkt_residual >= result.stationarity_residual);
    // The multipliers were rounded once more after that, when the smallest margin was made 1.
    Real sizes = 0;
    for (const std::size_t k : {1, 2})
      sizes += std::fabs(static_cast<Real>(result.equality_multipliers[k])) * norm_of(problem.row(k));
    CHECK(std::fabs(exact.stationarity - static_cast<Real>(result.stationarity_residual)) <=
          4 * 0x1p-53L * sizes);
    CHECK(problem.solve(1e-2).solution.status == MaxMarginStatus::optimal);
  }
}
