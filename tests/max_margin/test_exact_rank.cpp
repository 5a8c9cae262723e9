// The rank of exact numbers against matrices whose rank is known by how they were made.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <random>

#include "core/max_margin/proofs/exact_rank.h"

using namespace softstep;

namespace {

constexpr double no_limit = 1e300;

bool at_most(const std::vector<ExactRow>& rows, std::size_t rank, double budget = no_limit) {
  return rank_is_at_most(rows, rank, budget, [] { return true; });
}

using Matrix = std::vector<std::vector<double>>;

/// m rows of n small integers: the first `rank` begin with a unit matrix, the others are sums of these.
Matrix of_rank(std::size_t rank, std::size_t m, std::size_t n, std::mt19937_64& random) {
  std::uniform_int_distribution<int> entry(-9, 9);
  Matrix out(m, std::vector<double>(n, 0.0));
  for (std::size_t k = 0; k < rank; ++k) {
    out[k][k] = 1.0;
    for (std::size_t j = rank; j < n; ++j) out[k][j] = entry(random);
  }
  for (std::size_t k = rank; k < m; ++k)
    for (std::size_t r = 0; r < rank; ++r) {
      const int times = entry(random);
      for (std::size_t j = 0; j < n; ++j) out[k][j] += times * out[r][j];
    }
  return out;
}

std::vector<ExactRow> points(const Matrix& rows) {
  std::vector<ExactRow> out;
  for (std::size_t k = 0; k < rows.size(); ++k) out.push_back({rows[k], {}, {1.0}, k});
  return out;
}

}  // namespace

TEST_CASE("the rank of integers, and of these times powers of two", "[max_margin]") {
  std::mt19937_64 random(2);
  std::uniform_int_distribution<int> exponent(-300, 300);
  for (std::size_t rank = 0; rank <= 5; ++rank)
    for (int repeat = 0; repeat < 6; ++repeat) {
      CAPTURE(rank, repeat);
      Matrix rows = of_rank(rank, 7, 6, random);
      if (repeat % 2 == 1)
        for (auto& row : rows) {
          const int power = exponent(random);
          for (double& x : row) x = std::ldexp(x, power);
        }
      const std::vector<ExactRow> exact = points(rows);
      for (std::size_t r = 0; r <= 7; ++r) CHECK(at_most(exact, r) == (r >= rank));
    }
}

TEST_CASE("one bit of one number is a rank", "[max_margin]") {
  std::mt19937_64 random(3);
  for (std::size_t rank = 1; rank <= 4; ++rank) {
    CAPTURE(rank);
    Matrix rows = of_rank(rank, rank + 1, 6, random);
    CHECK(at_most(points(rows), rank));
    rows[rank][5] =
        std::nextafter(rows[rank][5], 100.0);  // a number of the last row, which depended on the others
    CHECK_FALSE(at_most(points(rows), rank));
  }
}

TEST_CASE("differences and queries take part as they were given", "[max_margin]") {
  // D z^T with D = (1, 2) - (0, 2) = (1, 0), and the queries e_1, e_2, and both: rank 2 for one D.
  const std::vector<double> best = {1, 2}, other = {0, 2};
  std::vector<ExactRow> rows = {{best, other, {1, 0}, 0}, {best, other, {0, 1}, 1}, {best, other, {1, 1}, 2}};
  CHECK(at_most(rows, 2));
  CHECK_FALSE(at_most(rows, 1));
  // Another D for the sum of the queries: e_1 e_1^T, e_1 e_2^T and e_2 (e_1 + e_2)^T.
  rows[2].best = {0, 3};
  CHECK_FALSE(at_most(rows, 2));
  // A difference below the last bit of its sides.
  rows[2].best = {1, 2 + 0x1p-40};
  rows[2].other = {0, 2};
  CHECK_FALSE(at_most(rows, 2));
}

TEST_CASE("a number that many primes divide is not 0", "[max_margin]") {
  // ||D||^2 is the product of the first three primes below 2^31, ||z||^2 of the next three: <D, D> <z, z>,
  // the Gram matrix of the one row D z^T, vanishes modulo six primes. Hadamard's bound leaves room for more.
  const std::vector<double> d = {16691135012736, 23501571526056, 88314791477325, 35680522625732},
                            z = {20504135808952, 11049847813006, 78642603736612, 56359039231433};
  const auto squared_modulo = [](const std::vector<double>& x, std::uint64_t p) {
    std::uint64_t sum = 0;
    for (const double value : x) {
      const std::uint64_t residue = static_cast<std::uint64_t>(value) % p;
      sum = (sum + residue * residue) % p;
    }
    return sum;
  };
  for (const std::uint64_t p : {2147483647, 2147483629, 2147483587}) CHECK(squared_modulo(d, p) == 0);
  for (const std::uint64_t p : {2147483579, 2147483563, 2147483549}) CHECK(squared_modulo(z, p) == 0);
  const std::vector<ExactRow> row = {{d, {}, z, 0}};
  CHECK_FALSE(at_most(row, 0));
  CHECK(at_most(row, 1));
  CHECK(at_most({{{0, 0}, {}, z, 0}}, 0));
  CHECK(at_most({{d, d, z, 0}}, 0));
}

TEST_CASE("what is not shown within the budget is not claimed", "[max_margin]") {
  std::mt19937_64 random(5);
  Matrix rows = of_rank(3, 6, 8, random);
  for (auto& row : rows)
    for (double& x : row) x *= 1.0 + 0x1p-30;  // so long that one prime has no room
  const std::vector<ExactRow> exact = points(rows);
  REQUIRE(at_most(exact, 3));
  CHECK_FALSE(at_most(exact, 3, 1.0));
  int asked = 0;
  CHECK_FALSE(rank_is_at_most(exact, 3, no_limit, [&] { return ++asked < 2; }));
  CHECK(asked == 2);
  CHECK(at_most(exact, 6, 0.0));  // as many rows: nothing to show
}
