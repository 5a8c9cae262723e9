// What W_mm must be without any solver: the closed form of orthogonal tokens, and how W_mm follows its data.

#include <array>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/both_ways.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"

using namespace softstep;
using namespace softstep::test;

namespace {

Dataset<double> sample_data(std::uint64_t seed) {
  GeneratorOptions options;
  options.n_samples = 8;
  options.n_tokens = 5;
  options.dim = 24;
  options.seed = seed;
  return generate(options);
}

// Two answers, each within the tolerance of W_mm: ||W - W_mm|| / ||W|| <= sqrt(gap), so half the squared
// distance of the unit matrices is at most (2 sqrt(gap))^2 / 2 = 2 gap; the norms agree to gap / 2 each.
void require_same(const MaxMarginResult& a, const MaxMarginResult& b, double factor, double tolerance) {
  REQUIRE(a.status == MaxMarginStatus::optimal);
  REQUIRE(b.status == MaxMarginStatus::optimal);
  CHECK(std::fabs(b.norm / a.norm / factor - 1.0) <= tolerance + 1e-14);
  CHECK(compare_direction(a.weights, b.weights).one_minus_cos <= 2 * tolerance);
}

}  // namespace

TEMPLATE_TEST_CASE("orthogonal tokens have the closed form", "[max_margin]", float, double) {
  GeneratorOptions options;
  options.generator = "orthogonal";
  for (const auto& [n, n_tokens, dim] :
       {std::array<std::size_t, 3>{1, 2, 2}, {3, 4, 12}, {5, 6, 40}, {10, 3, 70}})
    for (const double length : {1.0, 0.25, 8.0}) {
      CAPTURE(n, n_tokens, dim, length);
      options.n_samples = n;
      options.n_tokens = n_tokens;
      options.dim = dim;
      options.signal = length;
      const Dataset<TestType> data = convert<TestType>(generate(options));
      const BatchView<TestType>& batch = data.view();
      const TokenScores scores = score_tokens(batch);
      // W_mm = sum_i (x_i,opt - mean_t x_it) z_i^T / (a^2 |z|^2)
      std::vector<double> expected(dim * dim, 0.0);
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t r = 0; r < dim; ++r) {
          double lift = 0.0;
          for (std::size_t t = 0; t < n_tokens; ++t)
            lift += static_cast<double>(batch.sample(i)[scores.optimal[i] * dim + r]) -
                    static_cast<double>(batch.sample(i)[t * dim + r]);
          for (std::size_t c = 0; c < dim; ++c)
            expected[r * dim + c] += lift / static_cast<double>(n_tokens) *
                                     static_cast<double>(batch.query(i)[c]) / std::pow(length, 4);
        }
      const MaxMarginResult result = solve_both_ways(batch);
      check_certificate(batch, result, 1e-10);
      // The tokens are orthogonal to rounding of their type.
      const double unit = std::is_same_v<TestType, float> ? 0x1p-24 : 0x1p-53;
      const double squared = static_cast<double>(n) * static_cast<double>(n_tokens - 1) /
                             (static_cast<double>(n_tokens) * std::pow(length, 4));
      const double bound = 1e-10 + 32.0 * unit * static_cast<double>(n * n_tokens);
      CHECK(std::fabs(result.norm * result.norm / squared - 1.0) <= bound);
      CHECK(compare_direction(result.weights, expected).one_minus_cos <= 2 * bound);
    }
}

TEST_CASE("tokens scaled by a scale W_mm by 1 / a^2", "[max_margin]") {
  const Dataset<double> data = sample_data(3);
  const MaxMarginResult plain = solve_both_ways(data.view());
  for (const double a : {1e-60, 1e-6, 3.0, 1e6, 1e60}) {
    CAPTURE(a);
    OwnedBatch<double> scaled(data.view());
    for (double& x : scaled.tokens) x *= a;
    for (double& x : scaled.queries) x *= a;
    require_same(plain, solve_both_ways(scaled.view()), 1.0 / (a * a), 1e-10);
  }
}

TEST_CASE("a query scaled by a is a constraint divided by a", "[max_margin]") {
  const Dataset<double> data = sample_data(4);
  const MaxMarginResult plain = solve_both_ways(data.view());
  OwnedBatch<double> scaled(data.view());
  for (double& x : scaled.queries) x *= 0.125;
  require_same(plain, solve_both_ways(scaled.view()), 8.0, 1e-10);
}

TEST_CASE("the order of samples and tokens does not matter", "[max_margin]") {
  const Dataset<double> data = sample_data(5);
  const OwnedBatch<double> original(data.view());
  OwnedBatch<double> permuted = original;
  const std::size_t n = 8, n_tokens = 5, d = 24;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = (3 * i + 1) % n;
    permuted.labels[i] = original.labels[from];
    for (std::size_t j = 0; j < d; ++j) permuted.queries[i * d + j] = original.queries[from * d + j];
    for (std::size_t t = 0; t < n_tokens; ++t)
      for (std::size_t j = 0; j < d; ++j)
        permuted.tokens[(i * n_tokens + t) * d + j] =
            original.tokens[(from * n_tokens + (2 * t + i) % n_tokens) * d + j];
  }
  const MaxMarginResult a = solve_both_ways(original.view()), b = solve_both_ways(permuted.view());
  require_same(a, b, 1.0, 1e-10);
  CHECK(a.n_constraints == b.n_constraints);
}

TEST_CASE("a shift of all tokens of a sample changes nothing but its query", "[max_margin]") {
  const Dataset<double> data = sample_data(6);
  OwnedBatch<double> shifted(data.view());
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t t = 0; t < 5; ++t)
      for (std::size_t j = 0; j < 24; ++j) shifted.token(i, t)[j] += 0.5 * static_cast<double>(j % 3);
  require_same(solve_both_ways(data.view()), solve_both_ways(shifted.view()), 1.0, 1e-10);
}

TEST_CASE("repeated samples change nothing", "[max_margin]") {
  const Dataset<double> data = sample_data(7);
  OwnedBatch<double> twice(data.view());
  const OwnedBatch<double> once = twice;
  twice.tokens.insert(twice.tokens.end(), once.tokens.begin(), once.tokens.end());
  twice.queries.insert(twice.queries.end(), once.queries.begin(), once.queries.end());
  twice.labels.insert(twice.labels.end(), once.labels.begin(), once.labels.end());
  const MaxMarginResult result = solve_both_ways(twice.view());
  require_same(solve_both_ways(once.view()), result, 1.0, 1e-10);
  check_certificate(twice.view(), result, 1e-10);
}
