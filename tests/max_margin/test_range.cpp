// Tokens, queries and decoder at the ends of the range of numbers.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "data/refused.h"
#include "max_margin/both_ways.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

OwnedBatch<double> plain_batch(std::uint64_t seed) {
  Layout layout;
  layout.n_tokens = {4, 4, 4, 4, 4};
  layout.dim = 7;
  layout.separate_queries = true;
  return OwnedBatch<double>(TestBatch<double>(layout, seed).view);
}

void multiply(std::vector<double>& x, int exponent) {
  for (double& value : x) value = std::ldexp(value, exponent);
}

std::vector<double> times(std::vector<double> x, int exponent) {
  multiply(x, exponent);
  return x;
}

}  // namespace

TEST_CASE("powers of two change W_mm by exactly their power", "[max_margin]") {
  struct Powers {
    int tokens, queries, decoder;
  };
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const OwnedBatch<double> data = plain_batch(seed);
    const MaxMarginResult one = solve_both_ways(data.view());
    REQUIRE(one.status == MaxMarginStatus::optimal);
    for (const Powers powers : {Powers{60, -31, 5},
                                {-500, 400, 100},
                                {500, -500, -300},
                                {-900, 700, 300},
                                {900, -600, -300},
                                {-480, 481, 0},
                                {0, 0, 500}}) {
      CAPTURE(seed, powers.tokens, powers.queries, powers.decoder);
      OwnedBatch<double> other = data;
      multiply(other.tokens, powers.tokens);
      multiply(other.queries, powers.queries);
      multiply(other.decoder, powers.decoder);
      const MaxMarginResult result = solve_both_ways(other.view());
      const int power = -(powers.tokens + powers.queries);
      REQUIRE(result.status == one.status);
      CHECK(result.sweeps == one.sweeps);
      CHECK(result.weights == times(one.weights, power));
      CHECK(result.multipliers == times(one.multipliers, 2 * power));
      CHECK(result.norm == std::ldexp(one.norm, power));
    }
  }
}

TEST_CASE("the other solvers keep to the powers of two", "[max_margin]") {
  const OwnedBatch<double> data = plain_batch(3);
  const std::vector<std::vector<std::size_t>> tied = {{0, 1}, {2}, {1}, {3}, {0}};
  const TiedMaxMarginResult one = solve_max_margin_with_ties(data.view(), tied);
  NormMaxMarginOptions options;
  options.norm = MatrixNorm::l_p;
  options.p = 3.0;
  const MaxMarginResult in_norm = solve_max_margin_in_norm(data.view(), options);
  REQUIRE(one.solution.status == MaxMarginStatus::optimal);
  REQUIRE(in_norm.status == MaxMarginStatus::optimal);
  for (const int tokens : {-900, 900}) {
    CAPTURE(tokens);
    const int queries = tokens > 0 ? -700 : 700;
    OwnedBatch<double> other = data;
    multiply(other.tokens, tokens);
    multiply(other.queries, queries);
    multiply(other.decoder, -tokens / 3);
    const int power = -(tokens + queries);
    const TiedMaxMarginResult result = solve_max_margin_with_ties(other.view(), tied);
    REQUIRE(result.solution.status == MaxMarginStatus::optimal);
    // Tolerances of the two gaps, each of the square of the norm or of the norm.
    CHECK(std::fabs(std::ldexp(result.solution.norm, -power) / one.solution.norm - 1.0) <= 1e-10);
    const MaxMarginResult norm_result = solve_max_margin_in_norm(other.view(), options);
    REQUIRE(norm_result.status == MaxMarginStatus::optimal);
    CHECK(std::fabs(std::ldexp(norm_result.norm, -power) / in_norm.norm - 1.0) <= 2e-8);
  }
}

TEST_CASE("other norms keep their certificate at the ends of the range", "[max_margin]") {
  const OwnedBatch<double> data = plain_batch(3);
  struct Powers {
    int tokens, queries;
    bool in_turn;  // each sample the other way round than the one before it
  };
  for (const MatrixNorm norm : {MatrixNorm::frobenius, MatrixNorm::nuclear, MatrixNorm::l_p}) {
    NormMaxMarginOptions options;
    options.norm = norm;
    options.p = 1.5;
    const MaxMarginResult one = solve_max_margin_in_norm(data.view(), options);
    REQUIRE(one.status == MaxMarginStatus::optimal);
    for (const Powers powers : {Powers{485, 10, false},
                                {-485, -10, false},
                                {10, 485, false},
                                {500, -500, true},
                                {990, -990, true}}) {
      CAPTURE(to_string(norm), powers.tokens, powers.queries);
      OwnedBatch<double> other = data;
      for (std::size_t i = 0; i < 5; ++i) {
        const int sign = powers.in_turn && i % 2 == 1 ? -1 : 1;
        for (std::size_t j = 0; j < 4 * 7; ++j)
          other.token(i, 0)[j] = std::ldexp(other.token(i, 0)[j], sign * powers.tokens);
        for (std::size_t j = 0; j < 7; ++j)
          other.query(i)[j] = std::ldexp(other.query(i)[j], sign * powers.queries);
      }
      if (!powers.in_turn) multiply(other.decoder, -powers.tokens);
      const MaxMarginResult result = solve_max_margin_in_norm(other.view(), options);
      REQUIRE(result.status == MaxMarginStatus::optimal);
      // The optimum is between (1 - gap) norm and norm, of either problem. The multipliers' sum is the lower
      // bound, for the rounding of the sum of 15 and of a norm.
      const int power = -(powers.tokens + powers.queries);
      CHECK(std::fabs(std::ldexp(result.norm, -power) / one.norm - 1.0) <= 2e-8);
      double sum = 0.0;
      for (const double l : result.multipliers) sum += l;
      CHECK(std::fabs(sum / result.norm - (1.0 - result.duality_gap)) <= 1e-12);
    }
  }
}

TEST_CASE("subnormal differences are no copies", "[max_margin]") {
  // Integers times 2^-1070: exact, with 4 bits.
  const double tiny = std::ldexp(1.0, -1070), large = std::ldexp(1.0, 600);
  const PairBatch<double> data({1, 1}, {{3, 1}, {1, 5}}, {{1, 0}, {1, 2}});
  OwnedBatch<double> scaled(data.view);
  MaxMarginOptions options;
  options.selected = {0, 0};
  const MaxMarginResult one = solve_max_margin(scaled.view(), options);
  for (double& x : scaled.tokens) x *= tiny;
  for (double& x : scaled.queries) x *= large;
  const MaxMarginResult result = solve_max_margin(scaled.view(), options);
  REQUIRE(result.status == MaxMarginStatus::optimal);
  CHECK(result.weights == times(one.weights, 470));
}

TEST_CASE("tokens too small for their W_mm are refused, not called inseparable", "[max_margin]") {
  for (const double scale : {1e-300, 1e-310}) {
    OwnedBatch<double> data = plain_batch(1);
    for (double& x : data.tokens) x *= scale;
    data.queries = std::vector<double>(data.tokens.begin(), data.tokens.begin() + 35);
    CHECK_THROWS_AS(solve_max_margin(data.view()), InvalidArgument);
  }
}

TEST_CASE("constraints whose lengths differ beyond double are refused", "[max_margin]") {
  const PairBatch<double> data({1, 0}, {{1e200, 0}, {1e-200, 1e-200}}, {{1, 0}, {0, 1}});
  require_refused("tokens", {"2^"}, [&] { solve_max_margin(data.view); });
}

TEST_CASE("points at the ends of the range", "[max_margin]") {
  const std::vector<std::int8_t> labels = {1, -1};
  for (const double scale : {1e-150, 1e-140, 1e140}) {
    const std::vector<double> points = {2 * scale, 0, 0, -scale};
    const MaxMarginResult result = solve_linear_max_margin(points, labels, 2);
    REQUIRE(result.status == MaxMarginStatus::optimal);
    CHECK(std::fabs(result.norm * scale / std::sqrt(1.25) - 1.0) <= 1e-10);
  }
}
