// Data that no W separates, and data that are merely hard.

#include <algorithm>
#include <array>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "max_margin/both_ways.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// The multipliers are a proof: a convex combination of constraints that is 0 to the certificate given.
template <class T>
void check_proof(const BatchView<T>& batch, const MaxMarginResult& result) {
  REQUIRE(result.status == MaxMarginStatus::not_separable);
  CHECK(result.weights.empty());
  CHECK(result.certificate <= 1e-13);
  const Rows rows = constraint_matrix(batch, score_tokens(batch));
  std::vector<Real> combination(batch.dim * batch.dim, 0);
  Real sum = 0, longest = 0;
  for_each_multiplier(rows, result.multipliers, [&](std::size_t k, Real lambda) {
    sum += lambda;
    longest = std::max(longest, norm_of(rows[k]));
    for (std::size_t j = 0; j < combination.size(); ++j) combination[j] += lambda * rows[k][j];
  });
  CHECK(std::fabs(sum - 1) <= 1e-12L);
  // The certificate is a sum in double of terms of size longest.
  const Real rounding = 0x1p-53L * static_cast<Real>(rows.size() + 16);
  CHECK(norm_of(combination) <= (static_cast<Real>(result.certificate) + rounding) * longest);
  CHECK(norm_of(combination) <= 2e-13L * longest);
}

}  // namespace

TEMPLATE_TEST_CASE("a copy of the optimal token is proof at once", "[max_margin]", float, double) {
  Layout layout;
  layout.n_tokens = {4, 4, 4};
  layout.dim = 9;
  TestBatch<TestType> data(layout, 1);
  const TokenScores scores = score_tokens(data.view);
  const std::size_t best = scores.optimal[1], other = (best + 1) % 4;
  for (std::size_t j = 0; j < 9; ++j) data.tokens[(4 + other) * 9 + j] = data.tokens[(4 + best) * 9 + j];
  const MaxMarginResult result = solve_both_ways(data.view);
  check_proof(data.view, result);
  CHECK(result.certificate == 0.0);
  CHECK(result.sweeps == 0);
  CHECK_FALSE(result.unique_optimal_tokens);
}

TEST_CASE("a zero query satisfies nothing", "[max_margin]") {
  const PairBatch<double> data({1, 0}, {{1, 2}, {3, 1}}, {{1, 1}, {0, 0}});
  const MaxMarginResult result = solve_both_ways(data.view);
  check_proof(data.view, result);
  CHECK(result.certificate == 0.0);
  CHECK(result.multipliers[2 * 1 + 1] == 1.0);
}

TEST_CASE("a zero query of a sample without constraints is no obstacle", "[max_margin]") {
  Layout layout;
  layout.n_tokens = {3, 1, 3};
  layout.ragged = layout.separate_queries = true;
  TestBatch<double> data(layout, 5);
  for (std::size_t j = 0; j < 5; ++j) data.queries[5 + j] = 0.0;
  check_certificate(data.view, solve_both_ways(data.view), 1e-10);
}

TEMPLATE_TEST_CASE("a sample and its swapped copy contradict each other", "[max_margin]", float, double) {
  Layout layout;
  layout.n_tokens = {2, 2, 2, 2};
  layout.dim = 7;
  layout.separate_queries = true;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    TestBatch<TestType> data(layout, seed);
    // sample 3: tokens and query of sample 0, the other label, so that the other token is optimal
    for (std::size_t j = 0; j < 14; ++j) data.tokens[3 * 14 + j] = data.tokens[j];
    for (std::size_t j = 0; j < 7; ++j) data.queries[3 * 7 + j] = data.queries[j];
    data.labels[3] = static_cast<std::int8_t>(-data.labels[0]);
    check_proof(data.view, solve_both_ways(data.view));
  }
}

TEST_CASE("tiny differences of huge tokens contradict each other as any do", "[max_margin]") {
  // The entry that all tokens share has no part in the differences, whose entries are 2 and -1 times `small`.
  for (const double shared : {1.0, 1e150, 1e300})
    for (const double small : {1.0, 1e-143, 1e-150, 1e-300}) {
      CAPTURE(shared, small);
      const std::vector<double> tokens = {shared, 3 * small, 2 * small, shared, 1 * small, 3 * small,
                                          shared, 1 * small, 3 * small, shared, 3 * small, 2 * small};
      const std::vector<double> queries = {1, 2, 1, 1, 2, 1};
      const std::vector<std::int8_t> labels = {1, 1};
      BatchView<double> batch;
      batch.tokens = tokens.data();
      batch.n_samples = batch.n_tokens = 2;
      batch.dim = 3;
      batch.labels = labels.data();
      batch.queries = queries.data();
      MaxMarginOptions options;
      options.selected = {0, 0};
      const MaxMarginResult result = solve_both_ways(batch, options);
      CHECK(result.status == MaxMarginStatus::not_separable);
      // The units of the proof: both differences have one length.
      CHECK(std::fabs(result.multipliers[1] - 0.5) <= 1e-13);
      CHECK(std::fabs(result.multipliers[3] - 0.5) <= 1e-13);
    }
}

TEST_CASE("more random constraints than the matrices can hold", "[max_margin]") {
  for (const std::size_t n : {30, 100, 300})
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(n, seed);
      GeneratorOptions options;
      options.generator = "random_unit";
      options.n_samples = n;
      options.n_tokens = 8;
      options.dim = 5;
      options.seed = seed;
      const Dataset<double> data = generate(options);
      const MaxMarginResult result = solve_both_ways(data.view());
      check_proof(data.view(), result);
      CHECK(result.sweeps <= 5000);
    }
}

TEST_CASE("a small margin is not none", "[max_margin]") {
  // <(e, 1) z^T, W> >= 1 and <(e, -1) z^T, W> >= 1: W = (1/e, 0) z^T, the margin of the unit rows is e.
  // Rounding of W leaves the margins known to 2^-53 / e times a few; the certificate cannot be closer.
  for (const double e : {1e-2, 1e-4, 1e-6, 1e-8}) {
    CAPTURE(e);
    const PairBatch<double> data({0, 1}, {{e, 1}, {e, -1}}, {{1, 0}, {1, 0}});
    MaxMarginOptions options;
    options.tolerance = std::max(1e-10, 1e-15 / e);
    const MaxMarginResult result = solve_max_margin(data.view, options);
    check_certificate(data.view, result, options.tolerance);
    CHECK(std::fabs(result.norm * e - 1.0) <= options.tolerance);
  }
}

TEST_CASE("a small margin among many constraints is found", "[max_margin]") {
  // Rows (e, v, 0 ...) z^T with unit vectors v that hold 0 in their convex hull: W = (1/e, 0 ...) z^T.
  for (const double e : {1e-3, 1e-6}) {
    CAPTURE(e);
    std::vector<std::vector<double>> differences, queries;
    for (int k = 0; k < 40; ++k) {
      const double angle = 0.157 * k + 0.05;  // one turn and a little more
      differences.push_back({e, std::cos(angle), std::sin(angle)});
      queries.push_back({0.6, 0.8, 0});
    }
    const PairBatch<double> data({0.01, 1, 0.3}, differences, queries);
    MaxMarginOptions options;
    options.tolerance = std::max(1e-10, 1e-14 / e);
    const MaxMarginResult result = solve_max_margin(data.view, options);
    REQUIRE(result.status == MaxMarginStatus::optimal);
    CHECK(std::fabs(result.norm * e - 1.0) <= options.tolerance);
  }
}

TEST_CASE("a margin below rounding is no proof that there is none", "[max_margin]") {
  // All of these can be separated, by W = (1/e, 0 ...) z^T, as exact numbers.
  for (const double e : {1e-14, 3e-15, 1e-15, 1e-16, 1e-17, 1e-30, 1e-200}) {
    CAPTURE(e);
    const PairBatch<double> two({0.01, 1}, {{e, 1}, {e, -1}}, {{1, 0}, {1, 0}});
    CHECK(solve_both_ways(two.view).status != MaxMarginStatus::not_separable);
    std::vector<std::vector<double>> differences, queries;
    for (int k = 0; k < 40; ++k) {
      differences.push_back({e, std::cos(0.157 * k + 0.05), std::sin(0.157 * k + 0.05)});
      queries.push_back({0.6, 0.8, 0});
    }
    const PairBatch<double> ring({0.01, 1, 0.3}, differences, queries);
    const MaxMarginResult result = solve_both_ways(ring.view);
    CHECK(result.status != MaxMarginStatus::not_separable);
    // The same as points, and as tokens of one sample that are tied with nothing.
    std::vector<double> points;
    for (const auto& x : differences) points.insert(points.end(), x.begin(), x.end());
    const std::vector<std::int8_t> labels(40, 1);
    CHECK(solve_linear_max_margin(points, labels, 3).status != MaxMarginStatus::not_separable);
    const std::vector<std::vector<std::size_t>> alone(40, {0});
    CHECK(solve_max_margin_with_ties(ring.view, alone).solution.status != MaxMarginStatus::not_separable);
  }
}

TEST_CASE("a margin of the last bit is told from none", "[max_margin]") {
  // x and -x cannot be separated; with one bit of one number changed they can.
  Layout layout;
  layout.dim = 5;
  layout.n_tokens = {2, 2, 2};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    const TestBatch<double> batch(layout, seed);
    std::vector<double> points(batch.tokens.begin(), batch.tokens.begin() + 15);
    for (std::size_t j = 0; j < 5; ++j) points[10 + j] = -points[5 + j];
    const std::vector<std::int8_t> labels = {1, 1, 1};
    const MaxMarginResult none = solve_linear_max_margin(points, labels, 5);
    CHECK(none.status == MaxMarginStatus::not_separable);
    CHECK(none.multipliers[0] == 0.0);
    points[12] = std::nextafter(points[12], 1e9);
    const MaxMarginResult some = solve_linear_max_margin(points, labels, 5);
    CHECK(some.status == MaxMarginStatus::undecided);
    CHECK(some.certificate <= 1e-13);
    CHECK(some.weights.empty());
  }
}

TEST_CASE("where nothing is decided the certificate is what the multipliers come to", "[max_margin]") {
  // Rows s (e, v) with unit vectors v all around, of sizes s: no convex combination of them is shorter than e
  // of the smallest s.
  constexpr std::size_t n = 7, dim = 3;
  int undecided = 0;
  for (const double e : {5e-14, 2e-14, 1e-14, 5e-15})
    for (const auto& [even, odd] : {std::array<double, 2>{1, 1}, {100, 100}, {3, 5}, {0.03, 7}}) {
      CAPTURE(e, even, odd);
      std::vector<double> points;
      for (std::size_t k = 0; k < n; ++k) {
        const double size = k % 2 == 0 ? even : odd, angle = 0.9 * static_cast<double>(k) + 0.05;
        points.insert(points.end(), {size * e, size * std::cos(angle), size * std::sin(angle)});
      }
      const std::vector<std::int8_t> labels(n, 1);
      const MaxMarginResult result = solve_linear_max_margin(points, labels, dim);
      CHECK(result.status != MaxMarginStatus::not_separable);
      if (result.status != MaxMarginStatus::undecided) continue;  // the exact method may find W
      ++undecided;
      CHECK(result.weights.empty());
      REQUIRE(result.multipliers.size() == n);
      std::vector<Real> combination(dim, 0);
      Real sum = 0, longest = 0, total = 0;
      for (std::size_t k = 0; k < n; ++k) {
        const std::vector<Real> row(points.begin() + static_cast<std::ptrdiff_t>(dim * k),
                                    points.begin() + static_cast<std::ptrdiff_t>(dim * (k + 1)));
        const Real lambda = result.multipliers[k];
        CHECK(lambda >= 0);
        sum += lambda;
        total += lambda * norm_of(row);
        longest = std::max(longest, norm_of(row));
        for (std::size_t j = 0; j < dim; ++j) combination[j] += lambda * row[j];
      }
      CHECK(std::fabs(sum - 1) <= 16 * 0x1p-53L);
      // What was found is short, and the certificate says how short. Its sum has n terms, each rounded a few
      // times.
      CHECK(norm_of(combination) <= 2e-13L * total);
      const Real rounding = static_cast<Real>(n + 8) * 0x1p-53L * total / longest;
      CHECK(std::fabs(norm_of(combination) / (sum * longest) - static_cast<Real>(result.certificate)) <=
            rounding);
      CHECK(result.certificate >=
            e * std::min(even, odd) / std::max(even, odd) - static_cast<double>(rounding));
    }
  CHECK(undecided >= 4);
}

TEST_CASE("combinations of small integers prove it, in a subspace too", "[max_margin]") {
  std::mt19937_64 random(5);
  std::uniform_int_distribution<int> entry(-9, 9), share(1, 6);
  for (const std::size_t n : {2, 3, 5, 8})  // of rows that span n - 1 of 12 dimensions, and one row more
    for (int repeat = 0; repeat < 6; ++repeat) {
      CAPTURE(n, repeat);
      constexpr std::size_t dim = 12;
      std::vector<double> points((n + 3) * dim, 0.0);
      for (std::size_t k = 0; k + 1 < n; ++k) {
        const int times = share(random);
        for (std::size_t j = 0; j < dim; ++j) {
          points[k * dim + j] = entry(random);
          points[(n - 1) * dim + j] -= times * points[k * dim + j];
        }
      }
      // Others that can be separated.
      for (std::size_t k = n; k < n + 3; ++k)
        for (std::size_t j = 0; j < dim; ++j) points[k * dim + j] = entry(random);
      const std::vector<std::int8_t> labels(n + 3, 1);
      const MaxMarginResult result = solve_linear_max_margin(points, labels, dim);
      CHECK(result.status == MaxMarginStatus::not_separable);
      CHECK(result.certificate <= 1e-14);
    }
}

TEST_CASE("equalities that all but contradict a margin prove nothing", "[max_margin]") {
  // Tokens 0 and 1 are tied, and the others lie on the line through them, or token 0 a little off it.
  for (const double off : {0.0, 1e-16, 1e-18, 1e-300}) {
    CAPTURE(off);
    const std::vector<double> given = {off, 0, 1, 2, 3, 6, -1, -2}, query = {1, 0};
    BatchView<double> view;
    const std::vector<std::int8_t> labels = {1};
    view.tokens = given.data();
    view.n_samples = 1;
    view.n_tokens = 4;
    view.dim = 2;
    view.labels = labels.data();
    view.queries = query.data();
    const auto result = solve_max_margin_with_ties(view, {{0, 1}}).solution;
    CHECK((result.status == MaxMarginStatus::inconsistent_equalities) == (off == 0.0));
    if (off != 0.0) CHECK(result.status == MaxMarginStatus::undecided);
  }
}
