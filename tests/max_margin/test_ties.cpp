// Several tokens that share the best score: against the exact method with the equalities as pairs of
// inequalities, and the certificate computed afresh.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "data/refused.h"
#include "max_margin/certificate_check.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

using Ties = std::vector<std::vector<std::size_t>>;

bool holds(const std::vector<std::size_t>& set, std::size_t t) {
  return std::find(set.begin(), set.end(), t) != set.end();
}

/// A = (x_first - x_t) z^T and E = (x_first - x_s) z^T, each in the slot of its token; the other slots are
/// empty.
struct Problem {
  Rows margins, equalities;
  std::size_t size;

  template <class T>
  Problem(const BatchView<T>& batch, const Ties& tied) : size(batch.dim * batch.dim) {
    std::vector<std::size_t> first;
    for (const auto& set : tied) first.push_back(set[0]);
    const Rows all = constraint_matrix(batch, first);
    for (std::size_t i = 0, k = 0; i < batch.n_samples; ++i)
      for (std::size_t t = 0; t < batch.tokens_of(i); ++t, ++k) {
        const bool equal = holds(tied[i], t);
        margins.push_back(equal ? std::vector<Real>{} : all[k]);
        equalities.push_back(equal ? all[k] : std::vector<Real>{});
      }
  }
};

Real square(Real x) { return x * x; }

/// The certificate from the definitions, in long double.
void check_tied(const Problem& problem, const TiedMaxMarginResult& result, double tolerance) {
  const MaxMarginResult& solution = result.solution;
  REQUIRE(solution.status == MaxMarginStatus::optimal);
  REQUIRE(solution.weights.size() == problem.size);
  REQUIRE(solution.multipliers.size() == problem.margins.size());
  REQUIRE(result.equality_multipliers.size() == problem.margins.size());
  const std::vector<Real> w(solution.weights.begin(), solution.weights.end());
  const Real norm = norm_of(w);
  std::vector<Real> sum(problem.size, 0);
  Real total = 0, smallest = INFINITY, worst = 0, largest = 0, longest = 0;
  for (std::size_t k = 0; k < problem.margins.size(); ++k) {
    const Real lambda = solution.multipliers[k], mu = result.equality_multipliers[k];
    REQUIRE(lambda >= 0);
    if (problem.margins[k].empty()) REQUIRE(lambda == 0);
    if (problem.equalities[k].empty()) REQUIRE(mu == 0);
    total += lambda;
    largest = std::max(largest, lambda);
    if (!problem.margins[k].empty()) {
      smallest = std::min(smallest, dot(problem.margins[k], w));
      longest = std::max(longest, norm_of(problem.margins[k]));
      for (std::size_t j = 0; j < problem.size; ++j) sum[j] += lambda * problem.margins[k][j];
    }
    if (problem.equalities[k].empty() || norm_of(problem.equalities[k]) == 0) continue;
    worst = std::max(worst, std::fabs(dot(problem.equalities[k], w)) / norm_of(problem.equalities[k]) / norm);
    for (std::size_t j = 0; j < problem.size; ++j) sum[j] += mu * problem.equalities[k][j];
  }
  std::vector<Real> difference(problem.size);
  for (std::size_t j = 0; j < problem.size; ++j) difference[j] = w[j] - sum[j];
  const Real gap = 1 - square(total) / square(norm_of(sum)) / square(norm);
  // A margin, 1 where it is smallest, is a sum of `size` products in double.
  const Real rounding = 4 * static_cast<Real>(problem.size) * 0x1p-53L * longest * norm;
  CHECK(std::fabs(smallest - 1) <= rounding);
  CHECK(std::fabs(static_cast<Real>(solution.margin) - smallest / norm) <= 2 * rounding / norm);
  CHECK(worst <=
        static_cast<Real>(result.equality_residual) + 4 * static_cast<Real>(problem.size) * 0x1p-53L);
  CHECK(norm_of(difference) / norm <= static_cast<Real>(result.stationarity_residual) + rounding);
  CHECK(std::fabs(gap - static_cast<Real>(solution.duality_gap)) <= 8 * rounding);
  CHECK(solution.duality_gap <= tolerance);
  CHECK(solution.kkt_residual <= tolerance);
  CHECK(result.equality_residual <= solution.kkt_residual);
  CHECK(result.stationarity_residual <= solution.kkt_residual);
  Real residual = 0;
  const Real scale = total / square(norm_of(sum));
  for (std::size_t k = 0; k < problem.margins.size(); ++k)
    if (!problem.margins[k].empty())
      residual = std::max(residual, std::fabs(std::min(solution.multipliers[k] / largest,
                                                       scale * dot(problem.margins[k], w) - 1)));
  CHECK(residual <= static_cast<Real>(solution.kkt_residual) + 4 * rounding);
}

/// The orthogonal complement of the equalities as coordinates, in long double, and the exact method in them.
OracleAnswer solve_projected(const Problem& problem) {
  Rows basis, rows;
  for (const std::vector<Real>& e : problem.equalities) {
    if (e.empty()) continue;
    std::vector<Real> rest = e;
    for (int pass = 0; pass < 3; ++pass)
      for (const auto& q : basis) {
        const Real along = dot(q, rest);
        for (std::size_t j = 0; j < rest.size(); ++j) rest[j] -= along * q[j];
      }
    const Real length = norm_of(rest);
    if (!(length > 1e-14L * norm_of(e))) continue;
    for (Real& x : rest) x /= length;
    basis.push_back(rest);
  }
  for (const std::vector<Real>& a : problem.margins) {
    if (a.empty()) continue;
    std::vector<Real> rest = a;
    for (int pass = 0; pass < 3; ++pass)
      for (const auto& q : basis) {
        const Real along = dot(q, rest);
        for (std::size_t j = 0; j < rest.size(); ++j) rest[j] -= along * q[j];
      }
    if (!(norm_of(rest) > 1e-13L * norm_of(a))) return {};  // the equalities force this margin to 0
    rows.push_back(rest);
  }
  return least_distance(rows);
}

}  // namespace

TEMPLATE_TEST_CASE("tied tokens agree with the exact method", "[max_margin]", float, double) {
  int solved = 0, impossible = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Layout layout;
    layout.n_tokens = {4, 5, 3, 4};
    layout.dim = 2 + seed % 6;
    layout.ragged = true;
    layout.separate_queries = seed % 2 == 0;
    const TestBatch<TestType> data(layout, seed);
    const Ties tied = {{2, 0}, {1, 3, 4}, {0}, {3, seed % 3}};
    const Problem problem(data.view, tied);
    const TiedMaxMarginResult result = solve_max_margin_with_ties(data.view, tied);
    CAPTURE(seed, layout.dim, to_string(result.solution.status));
    CHECK(result.n_equalities == 4);
    CHECK(result.solution.n_constraints == 8);
    const OracleAnswer exact = solve_projected(problem);
    if (!exact.separable) {
      ++impossible;
      const MaxMarginStatus status = result.solution.status;
      CHECK((status == MaxMarginStatus::not_separable || status == MaxMarginStatus::inconsistent_equalities));
      CHECK(result.solution.certificate <= 1e-12);
      CHECK(result.solution.weights.empty());
      continue;
    }
    ++solved;
    check_tied(problem, result, MaxMarginOptions{}.tolerance);
    CHECK(std::fabs(result.solution.norm / static_cast<double>(exact.norm) - 1.0) <= 1e-10);
  }
  CHECK(solved >= 25);
  CHECK(impossible >= 5);
}

TEST_CASE("one token in each set is the problem without ties", "[max_margin]") {
  Layout layout;
  layout.dim = 7;
  const TestBatch<double> data(layout, 3);
  MaxMarginOptions options;
  options.selected = {1, 0, 3};
  const MaxMarginResult plain = solve_max_margin(data.view, options);
  const TiedMaxMarginResult tied = solve_max_margin_with_ties(data.view, {{1}, {0}, {3}});
  REQUIRE(plain.status == MaxMarginStatus::optimal);
  REQUIRE(tied.solution.status == MaxMarginStatus::optimal);
  CHECK(std::fabs(tied.solution.norm / plain.norm - 1.0) <= 1e-10);
  CHECK(tied.n_equalities == 0);
  CHECK(tied.equality_residual == 0.0);
}

TEST_CASE("all tokens tied: W = 0; equalities that contradict a margin have a status", "[max_margin]") {
  Layout layout;
  layout.n_tokens = {3, 3};
  TestBatch<double> data(layout, 3);
  const TiedMaxMarginResult all = solve_max_margin_with_ties(data.view, {{0, 1, 2}, {2, 0, 1}});
  CHECK(all.solution.status == MaxMarginStatus::no_constraints);
  CHECK(all.solution.weights == std::vector<double>(25, 0.0));
  CHECK(all.equality_rank == 4);
  // Token 2 half way between the tied 0 and 1 has their score.
  for (std::size_t j = 0; j < 5; ++j) data.tokens[10 + j] = 0.5 * (data.tokens[j] + data.tokens[5 + j]);
  const TiedMaxMarginResult half = solve_max_margin_with_ties(data.view, {{0, 1}, {0}});
  CHECK(half.solution.status == MaxMarginStatus::inconsistent_equalities);
  CHECK(std::string(to_string(half.solution.status)) == "inconsistent_equalities");
  CHECK(half.solution.certificate <= 1e-13);
  CHECK(half.solution.multipliers[2] == 1.0);
  CHECK(std::fabs(half.equality_multipliers[1] + 0.5) <= 1e-13);  // A_2 = E_1 / 2
  CHECK(half.solution.weights.empty());
}

TEST_CASE("rows that underflow beside others are refused, and prove nothing", "[max_margin]") {
  // Sample 1 is in units of its own, as is its query. Its rows are zero below 2^-537 and lose bits below
  // 2^-511; in units of 1 the problem has a solution.
  const std::vector<double> plain = {2, 1, -1, 1, 0, -1, 3, 1, 1, 2, -1, 0};
  const std::vector<std::int8_t> labels = {1, 1};
  struct Case {
    int power;  // of two, of sample 1
    std::vector<std::size_t> tied;
  };
  for (const auto& [power, tied] : {Case{0, {0}}, Case{-600, {0}}, Case{-530, {0}}, Case{-500, {0, 1, 2}},
                                    Case{-530, {0, 1, 2}}, Case{-600, {0, 1, 2}}}) {
    CAPTURE(power, tied.size());
    std::vector<double> tokens = plain;
    for (std::size_t j = 6; j < 12; ++j) tokens[j] = std::ldexp(tokens[j], power);
    BatchView<double> batch;
    batch.tokens = tokens.data();
    batch.n_samples = 2;
    batch.n_tokens = 3;
    batch.dim = 2;
    batch.labels = labels.data();
    const auto solve = [&, &chosen = tied] { return solve_max_margin_with_ties(batch, {{0}, chosen}); };
    if (power >= -500) {
      const TiedMaxMarginResult result = solve();
      CHECK(result.solution.status == MaxMarginStatus::optimal);
      CHECK(result.equality_rank == tied.size() - 1);
      continue;
    }
    require_refused("tokens", {"underflows", "token 4"}, solve);
    // A copy of a token is no matter of range, nor is a query of zeros.
    std::copy_n(tokens.begin() + 6, 2, tokens.begin() + 8);
    std::copy_n(tokens.begin() + 6, 2, tokens.begin() + 10);
    const TiedMaxMarginResult copies = solve();
    CHECK(copies.solution.status ==
          (tied.size() == 1 ? MaxMarginStatus::not_separable : MaxMarginStatus::optimal));
  }
}

TEMPLATE_TEST_CASE("next-token prediction: tokens are the unit vectors", "[max_margin]", float, double) {
  // Padded to a square, it is the token problem with the vocabulary as tokens.
  const std::size_t n = 3, dim = 4, v = 6;
  const Ties supports = {{0, 2}, {5}, {1, 2, 4}};
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<TestType> contexts, padded, tokens;
  for (std::size_t k = 0; k < n * dim; ++k) contexts.push_back(static_cast<TestType>(uniform(random)));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < v; ++j) padded.push_back(j < dim ? contexts[i * dim + j] : TestType(0));
    for (std::size_t a = 0; a < v; ++a)
      for (std::size_t b = 0; b < v; ++b) tokens.push_back(a == b ? TestType(1) : TestType(0));
  }
  const std::vector<std::int8_t> labels(n, 1);
  BatchView<TestType> batch;
  batch.tokens = tokens.data();
  batch.n_samples = n;
  batch.n_tokens = batch.dim = v;
  batch.labels = labels.data();
  batch.queries = padded.data();
  const TiedMaxMarginResult square_one = solve_max_margin_with_ties(batch, supports);
  const TiedMaxMarginResult result = solve_next_token_max_margin(contexts, dim, v, supports);
  REQUIRE(result.solution.status == MaxMarginStatus::optimal);
  check_tied(Problem(batch, supports), square_one, 1e-10);
  CHECK(std::fabs(result.solution.norm / square_one.solution.norm - 1.0) <= 1e-10);
  REQUIRE(result.solution.weights.size() == v * dim);
  // Both lie within root of the gap of the solution.
  for (std::size_t a = 0; a < v; ++a)
    for (std::size_t b = 0; b < v; ++b)
      CHECK(std::fabs(square_one.solution.weights[a * v + b] -
                      (b < dim ? result.solution.weights[a * dim + b] : 0.0)) <=
            3.0 * std::sqrt(1e-10) * result.solution.norm);
  // The same context twice with other supports: what it asks for cannot be had.
  std::vector<TestType> twice(contexts.begin(), contexts.begin() + dim);
  twice.insert(twice.end(), contexts.begin(), contexts.begin() + dim);
  CHECK(solve_next_token_max_margin(twice, dim, v, {{0, 1}, {1, 2}}).solution.status ==
        MaxMarginStatus::inconsistent_equalities);
  CHECK(solve_next_token_max_margin(twice, dim, v, {{0}, {1}}).solution.status ==
        MaxMarginStatus::not_separable);
}

TEST_CASE("bad ties are refused by field and sample", "[max_margin]") {
  const TestBatch<double> data({}, 1);
  const auto refuse = [&](const Ties& tied, std::vector<std::string> words) {
    require_refused("tied", words, [&] { solve_max_margin_with_ties(data.view, tied); });
  };
  refuse({{0}, {1}}, {"2 sets", "3 samples"});
  refuse({{0}, {}, {1}}, {"sample 1", "none"});
  refuse({{0}, {1}, {1, 4}}, {"sample 2", "4", "0 to 3"});
  refuse({{0, 2, 0}, {1}, {1}}, {"sample 0", "token 0", "twice"});
  MaxMarginOptions options;
  options.selected = {0, 0, 0};
  require_refused("selected", {"tied"}, [&] {
    solve_max_margin_with_ties(data.view, {{0}, {0}, {0}}, options);
  });
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> contexts = {1.0, nan};
  require_refused("contexts", {"context 0", "element 1", "nan"},
                  [&] { solve_next_token_max_margin(contexts, 2, 3, {{0}}); });
  require_refused("n_vocabulary", {"0"}, [&] { solve_next_token_max_margin(contexts, 1, 0, {{0}}); });
  require_refused("tied", {"3", "0 to 2"}, [&] { solve_next_token_max_margin(contexts, 1, 3, {{3}, {0}}); });
  require_refused("contexts", {"2", "dim = 2", "2 supports"}, [&] {
    solve_next_token_max_margin(contexts, 2, 3, {{0}, {1}});
  });
  require_refused("supports", {"0"}, [&] { solve_next_token_max_margin(contexts, 2, 3, {}); });
}
