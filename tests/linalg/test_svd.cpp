// The decomposition against its definition: U and V have orthonormal columns, U diag(s) V^T is A, s descends.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/linalg/svd.h"
#include "softstep/error.h"

using namespace softstep;

namespace {

// Largest distance of Q^T Q from the identity.
double not_orthonormal(const std::vector<double>& q, std::size_t n_rows, std::size_t k) {
  double worst = 0;
  for (std::size_t a = 0; a < k; ++a)
    for (std::size_t b = 0; b < k; ++b) {
      double sum = a == b ? -1 : 0;
      for (std::size_t r = 0; r < n_rows; ++r) sum += q[r * k + a] * q[r * k + b];
      if (!(std::fabs(sum) <= worst)) worst = std::fabs(sum);
    }
  return worst;
}

void check(const std::vector<double>& a, std::size_t n_rows, std::size_t n_cols) {
  const Svd svd = singular_values_and_vectors(a.data(), n_rows, n_cols);
  const std::size_t k = std::min(n_rows, n_cols);
  REQUIRE(svd.s.size() == k);
  REQUIRE(svd.u.size() == n_rows * k);
  REQUIRE(svd.v.size() == n_cols * k);
  // Householder and Jacobi transformations: O(n) of them, each off by a few units.
  const double bound = 16 * static_cast<double>(n_rows + n_cols) * 0x1p-53;
  CHECK(not_orthonormal(svd.u, n_rows, k) <= bound);
  CHECK(not_orthonormal(svd.v, n_cols, k) <= bound);
  for (std::size_t j = 0; j < k; ++j) CHECK((svd.s[j] >= 0.0 && (j == 0 || svd.s[j] <= svd.s[j - 1])));
  double worst = 0;
  for (std::size_t r = 0; r < n_rows; ++r)
    for (std::size_t c = 0; c < n_cols; ++c) {
      double sum = -a[r * n_cols + c];
      for (std::size_t j = 0; j < k; ++j) sum += svd.u[r * k + j] * svd.s[j] * svd.v[c * k + j];
      if (!(std::fabs(sum) <= worst)) worst = std::fabs(sum);
    }
  CHECK(worst <= bound * svd.s[0]);
  const std::vector<double> values = singular_values_of(a.data(), n_rows, n_cols);
  REQUIRE(values.size() == k);
  for (std::size_t j = 0; j < k; ++j) CHECK(std::fabs(values[j] - svd.s[j]) <= bound * svd.s[0]);
}

std::vector<double> random_matrix(std::size_t size, double scale) {
  std::mt19937 random(3);
  std::vector<double> a(size);
  for (double& x : a) x = scale * (static_cast<double>(random() % 2001) - 1000) / 512;
  return a;
}

}  // namespace

TEST_CASE("U diag(s) V^T is A, at any size of the entries", "[linalg]") {
  for (const double scale : {1.0, 1e-300, 1e300})
    for (const auto& [n_rows, n_cols] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {3, 3}, {5, 2}, {2, 5}, {40, 40}, {30, 60}}) {
      INFO(scale << " " << n_rows << " x " << n_cols);
      check(random_matrix(n_rows * n_cols, scale), n_rows, n_cols);
    }
}

TEST_CASE("matrices without full rank", "[linalg]") {
  std::vector<double> rank_two(30 * 30);
  for (std::size_t r = 0; r < 30; ++r)
    for (std::size_t c = 0; c < 30; ++c)
      rank_two[r * 30 + c] =
          static_cast<double>(r % 3) * static_cast<double>(c % 4) + static_cast<double>(r % 5);
  check(rank_two, 30, 30);
  const auto s = singular_values_of(rank_two.data(), 30, 30);
  CHECK(s[1] > 1e-3 * s[0]);
  CHECK(s[2] <= 960 * 0x1p-53 * s[0]);
  const std::vector<double> zero(12, 0.0);
  CHECK(singular_values_of(zero.data(), 3, 4) == std::vector<double>(3, 0.0));
  check(zero, 3, 4);
}

TEST_CASE("a diagonal matrix has its entries as singular values", "[linalg]") {
  const std::vector<double> a{0, 3, 0, -5, 0, 0, 0, 0, 0.25};
  const auto s = singular_values_of(a.data(), 3, 3);
  for (const auto& [value, expected] : {std::pair{s[0], 5.0}, {s[1], 3.0}, {s[2], 0.25}})
    CHECK(std::fabs(value - expected) <= 96 * 0x1p-53 * 5.0);
}

TEST_CASE("an entry that is not finite is refused, nothing is empty", "[linalg]") {
  std::vector<double> a(4, 1.0);
  CHECK(singular_values_of(a.data(), 0, 4).empty());
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    a[2] = bad;
    CHECK_THROWS_AS(singular_values_of(a.data(), 2, 2), InvalidArgument);
    CHECK_THROWS_AS(singular_values_and_vectors(a.data(), 2, 2), InvalidArgument);
  }
}

// Divide and conquer in Eigen 3.4 reads before an array in the first two, and gives NaN in the third.
TEST_CASE("one entry beside which all others are nearly nothing", "[linalg]") {
  const std::size_t n = 60;
  std::vector<double> a = random_matrix(n * n, 0x1p-5);
  a[7 * n + 9] = 1e300;
  check(a, n, n);
  for (double& x : a) x = std::ldexp(x, -600);
  check(a, n, n);
}

TEST_CASE("rounding errors of one size in all rows, step after step", "[linalg]") {
  for (const std::size_t n : {40, 60, 100}) check(std::vector<double>(n * n, 1.0 / 3.0), n, n);
}

TEST_CASE("rank one of every shape from 33 on", "[linalg]") {
  for (std::size_t n = 33; n <= 72; n += 3)
    for (std::size_t m = 33; m <= 72; m += 4) check(std::vector<double>(n * m, 1.0 / 3.0), n, m);
}
