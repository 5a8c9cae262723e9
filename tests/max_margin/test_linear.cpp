// Labelled points against the exact method, and as the token problem that they are.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <random>

#include "data/refused.h"
#include "max_margin/certificate_check.h"
#include "softstep/max_margin.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
struct Points {
  std::vector<T> x;
  std::vector<std::int8_t> y;
  std::size_t n, dim;

  Points(std::size_t n_points, std::size_t d, std::uint64_t seed) : n(n_points), dim(d) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t k = 0; k < n * dim; ++k) x.push_back(static_cast<T>(uniform(random)));
    for (std::size_t i = 0; i < n; ++i) y.push_back(random() % 2 == 0 ? std::int8_t{1} : std::int8_t{-1});
  }
  Rows rows() const {
    Rows out(n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < dim; ++j) out[i].push_back(y[i] * static_cast<Real>(x[i * dim + j]));
    return out;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("labelled points agree with the exact method", "[max_margin]", float, double) {
  int separable = 0, not_separable = 0;
  std::uint64_t seed = 0;
  for (const std::size_t n : {1, 2, 5, 9, 20})
    for (const std::size_t dim : {1, 2, 6, 17})
      for (int repeat = 0; repeat < 4; ++repeat) {
        const Points<TestType> points(n, dim, ++seed);
        CAPTURE(n, dim, seed);
        const MaxMarginResult result = solve_linear_max_margin(points.x, points.y, dim);
        ++(agrees_with_oracle(points.rows(), dim, dim, result, 1e-10) ? separable : not_separable);
      }
  CHECK(separable >= 30);
  CHECK(not_separable >= 10);
}

TEMPLATE_TEST_CASE("points in other units give u_mm in other units, to the bit", "[max_margin]", float,
                   double) {
  Points<TestType> points(4, 9, 5);
  const MaxMarginResult one = solve_linear_max_margin(points.x, points.y, 9);
  REQUIRE(one.status == MaxMarginStatus::optimal);
  for (TestType& x : points.x) x *= static_cast<TestType>(0x1p-60);
  const MaxMarginResult other = solve_linear_max_margin(points.x, points.y, 9);
  for (std::size_t j = 0; j < 9; ++j) CHECK(other.weights[j] == 0x1p60 * one.weights[j]);
  for (std::size_t i = 0; i < 4; ++i) CHECK(other.multipliers[i] == 0x1p120 * one.multipliers[i]);
}

TEST_CASE("a point at the origin and a point of both labels cannot be separated", "[max_margin]") {
  const std::vector<double> zero = {1, 2, 0, 0}, twice = {1, 2, 1, 2};
  const std::vector<std::int8_t> labels = {1, -1};
  for (const auto& points : {zero, twice}) {
    const MaxMarginResult result = solve_linear_max_margin(points, labels, 2);
    CHECK(result.status == MaxMarginStatus::not_separable);
    CHECK(result.certificate <= 1e-13);
  }
}

TEST_CASE("bad points are refused by name", "[max_margin]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> good = {1, 2, 3, 4}, bad = {1, 2, nan, 4}, long_ones = {1, 2, 1.7e308, 1.7e308};
  const std::vector<std::int8_t> labels = {1, -1}, wrong = {1, 0};
  const auto solve = [&](const std::vector<double>& x, const std::vector<std::int8_t>& y,
                         MaxMarginOptions options = {}) { return solve_linear_max_margin(x, y, 2, options); };
  CHECK(solve(good, labels).status == MaxMarginStatus::optimal);
  require_refused("points", {"point 1", "element 0", "nan"}, [&] { solve(bad, labels); });
  require_refused("points", {"point 1", "overflows"}, [&] { solve(long_ones, labels); });
  require_refused("labels", {"point 1", "0"}, [&] { solve(good, wrong); });
  MaxMarginOptions options;
  options.selected = {0, 0};
  require_refused("selected", {"empty"}, [&] { solve(good, labels, options); });
  options = {};
  options.tolerance = 0.0;
  require_refused("tolerance", {"0"}, [&] { solve(good, labels, options); });
  const std::vector<std::int8_t> none;
  require_refused("labels", {"0", "at least 1"}, [&] { solve_linear_max_margin(good, none, 2); });
  require_refused("points", {"4", "dim = 3", "2 labels"}, [&] { solve_linear_max_margin(good, labels, 3); });
  require_refused("points", {"0", "dim = 2"},
                  [&] { solve_linear_max_margin(std::span<const double>(), labels, 2); });
  require_refused("dim", {"cannot be addressed"},
                  [&] { solve_linear_max_margin(good, labels, std::size_t{1} << 62); });
  require_refused("dim", {"0"}, [&] { solve_linear_max_margin(good, labels, 0); });
}
