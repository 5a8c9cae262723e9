// Norms, singular values and rank against matrices whose singular values are known, and against the
// definitions.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "data/refused.h"
#include "softstep/metrics.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Real = long double;
constexpr double unit = 0x1p-53;

// n orthonormal vectors of `size` elements: Gram-Schmidt in long double, twice.
std::vector<std::vector<Real>> orthonormal(std::size_t n, std::size_t size, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<std::vector<Real>> out;
  while (out.size() < n) {
    std::vector<Real> x(size);
    for (Real& value : x) value = normal(random);
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& q : out) {
        Real along = 0;
        for (std::size_t j = 0; j < size; ++j) along += q[j] * x[j];
        for (std::size_t j = 0; j < size; ++j) x[j] -= along * q[j];
      }
    Real length = 0;
    for (const Real value : x) length += value * value;
    for (Real& value : x) value /= std::sqrt(length);
    out.push_back(std::move(x));
  }
  return out;
}

// sum_j values_j u_j v_j^T, rounded to T.
template <class T>
std::vector<T> with_singular_values(const std::vector<double>& values, std::size_t rows, std::size_t cols,
                                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto u = orthonormal(values.size(), rows, random), v = orthonormal(values.size(), cols, random);
  std::vector<T> out;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      Real sum = 0;
      for (std::size_t j = 0; j < values.size(); ++j) sum += values[j] * u[j][r] * v[j][c];
      out.push_back(static_cast<T>(sum));
    }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("known singular values are found, with norms and rank", "[metrics]", float, double) {
  using T = TestType;
  const double u = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  std::uint64_t seed = 0;
  for (const auto& [rows, cols] : std::vector<std::pair<std::size_t, std::size_t>>{
           {1, 1}, {3, 3}, {2, 7}, {7, 2}, {20, 20}, {33, 21}, {70, 70}})
    for (const double scale : {1.0, 1e-30, 1e30}) {
      const std::size_t k = std::min(rows, cols);
      std::vector<double> values;
      for (std::size_t j = 0; j < k; ++j) values.push_back(scale / static_cast<double>(1 + j * j));
      const auto a = with_singular_values<T>(values, rows, cols, ++seed);
      CAPTURE(rows, cols, scale);
      const std::vector<double> found = singular_values(a, rows, cols);
      REQUIRE(found.size() == k);
      // Rounding the entries moves each value by at most u ||A||_F; a backward stable method by p(k) 2^-53
      // ||A||_2 with p(k) of the order of k.
      double frobenius = 0.0, nuclear = 0.0;
      for (const double value : values) frobenius = std::hypot(frobenius, value), nuclear += value;
      const double bound = u * frobenius + 4.0 * static_cast<double>(rows + cols) * unit * values[0];
      for (std::size_t j = 0; j < k; ++j) CHECK(std::fabs(found[j] - values[j]) <= bound);
      CHECK(std::is_sorted(found.rbegin(), found.rend()));
      const auto norm = [&](MatrixNorm which) { return matrix_norm(a, rows, cols, which); };
      CHECK(std::fabs(norm(MatrixNorm::spectral) - values[0]) <= bound);
      CHECK(std::fabs(norm(MatrixNorm::nuclear) - nuclear) <= static_cast<double>(k) * bound);
      CHECK(std::fabs(norm(MatrixNorm::frobenius) - frobenius) <= bound);
    }
}

TEMPLATE_TEST_CASE("the rank counts what is above the tolerance", "[metrics]", float, double) {
  const auto a = with_singular_values<TestType>({5.0, 1.0, 1e-2}, 9, 6, 3);
  const std::vector<double> values = singular_values(a, 9, 6);
  CHECK(numerical_rank(values) == 3);
  CHECK(numerical_rank(values, 1e-3) == 3);
  CHECK(numerical_rank(values, 3e-3) == 2);
  CHECK(numerical_rank(values, 0.5) == 1);
  CHECK(numerical_rank(std::vector<double>(4, 0.0)) == 0);
  CHECK(numerical_rank({}) == 0);
  require_refused("relative_tolerance", {"-1"}, [&] { numerical_rank(values, -1.0); });
  require_refused("relative_tolerance", {"nan"}, [&] { numerical_rank(values, NAN); });
  require_refused("relative_tolerance", {"1"}, [&] { numerical_rank(values, 1.0); });
}

TEMPLATE_TEST_CASE("entrywise norms are their definitions at any scale", "[metrics]", float, double) {
  using T = TestType;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  for (const double scale : {1.0, 1e-30, 1e30}) {
    std::vector<T> a;
    for (int k = 0; k < 35; ++k) a.push_back(static_cast<T>(scale * uniform(random)));
    for (const double p : {1.0, 1.1, 1.75, 2.0, 3.0, 20.0}) {
      Real sum = 0, largest = 0;
      for (const T x : a) largest = std::max(largest, std::fabs(static_cast<Real>(x)));
      for (const T x : a) sum += std::pow(std::fabs(static_cast<Real>(x)) / largest, static_cast<Real>(p));
      const Real exact = largest * std::pow(sum, 1 / static_cast<Real>(p));
      // pow to 1 unit; x^p of a quotient rounded once is off by p units, the root divides that by p again.
      const double error = matrix_norm(a, 5, 7, MatrixNorm::l_p, p) - static_cast<double>(exact);
      CHECK(std::fabs(error) <= (4.0 + 35.0 / 4.0 + 4.0) * unit * static_cast<double>(exact));
      if (p == 2.0)
        CHECK(std::fabs(matrix_norm(a, 5, 7, MatrixNorm::frobenius) - static_cast<double>(exact)) <=
              20.0 * unit * static_cast<double>(exact));
      if (p == 1.0) CHECK(matrix_norm(a, 5, 7, MatrixNorm::max) == static_cast<double>(largest));
    }
  }
}

TEST_CASE("norms of zero, NaN and infinity; norms have names", "[metrics]") {
  for (const MatrixNorm norm :
       {MatrixNorm::frobenius, MatrixNorm::spectral, MatrixNorm::max, MatrixNorm::nuclear, MatrixNorm::l_p}) {
    CAPTURE(to_string(norm));
    CHECK(parse_matrix_norm(to_string(norm)) == norm);
    std::vector<double> a(6, 0.0);
    CHECK(matrix_norm(a, 2, 3, norm, 3.0) == 0.0);
    a[4] = INFINITY;
    CHECK(matrix_norm(a, 2, 3, norm, 3.0) == INFINITY);
    a[1] = NAN;
    CHECK(std::isnan(matrix_norm(a, 2, 3, norm, 3.0)));
    // Entries whose squares overflow or vanish.
    for (const double size : {1e300, 1e-300}) {
      const std::vector<double> one = {size, 0.0, 0.0, 0.0};
      CHECK(std::fabs(matrix_norm(one, 2, 2, norm, 3.0) / size - 1.0) <= 8.0 * unit);
    }
  }
  CHECK(std::isnan(singular_values(std::vector<double>{1.0, NAN}, 1, 2)[0]));
  require_refused("norm", {"schatten", "frobenius", "nuclear"}, [] { parse_matrix_norm("schatten"); });
  const std::vector<double> one = {1.0};
  for (const double p : {0.5, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    require_refused("p", {"at least 1"}, [&] { matrix_norm(one, 1, 1, MatrixNorm::l_p, p); });
  for (const MatrixNorm norm : {MatrixNorm::frobenius, MatrixNorm::nuclear})
    require_refused("a", {"1", "rows * cols = 6"}, [&] { matrix_norm(one, 2, 3, norm); });
  require_refused("a", {"1", "0"}, [&] { singular_values(one, 0, 3); });
  require_refused("rows", {"cannot be addressed"},
                  [&] { singular_values(one, std::size_t{1} << 33, std::size_t{1} << 33); });
}
