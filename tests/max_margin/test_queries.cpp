// Constraints of every query of every sample, against the exact method, for optimal, chosen and tied tokens
// and in other norms.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/both_ways.h"
#include "max_margin/certificate_check.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

std::vector<Layout> layouts() {
  std::vector<Layout> out(5);
  out[0] = {{3, 3}, 4};
  out[0].all_queries = true;
  out[1] = {{4, 4, 4}, 6, 2, true};
  out[1].n_queries = 2;
  out[1].weights = true;  // which are no part of the problem
  out[2] = {{2, 4, 3}, 5, 0, true, false, true};
  out[2].queries_of = {3, 1, 2};
  out[3] = {{2, 2, 2}, 14, 0, false, true};  // more than twice the queries: their own span is used
  out[3].n_queries = 2;
  out[4] = {{5, 5, 5, 5}, 3};  // as many queries as this in so few dimensions: hardly ever separable
  out[4].all_queries = true;
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("the constraints of several queries agree with the exact method", "[max_margin]", float,
                   double) {
  int separable = 0, not_separable = 0;
  for (const Layout& layout : layouts())
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      CAPTURE(seed, layout.dim);
      const TestBatch<TestType> data(layout, seed);
      const bool is =
          agrees_with_oracle(constraint_matrix(data.view, score_tokens(data.view)), layout.dim * layout.dim,
                             layout.dim, solve_both_ways(data.view), MaxMarginOptions{}.tolerance);
      ++(is ? separable : not_separable);
    }
  CHECK(separable >= 12);
  CHECK(not_separable >= 3);
}

TEMPLATE_TEST_CASE("tokens are chosen for each sample or for each query", "[max_margin]", float, double) {
  Layout layout{{3, 3}, 6, 0, true};
  layout.n_queries = 2;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const TestBatch<TestType> data(layout, seed);
    for (const std::vector<std::size_t>& chosen :
         {std::vector<std::size_t>{1, 2}, std::vector<std::size_t>{0, 1, 2, 2}}) {
      MaxMarginOptions options;
      options.selected = chosen;
      const MaxMarginResult result = solve_max_margin(data.view, options);
      CAPTURE(seed, chosen.size());
      const bool separable =
          agrees_with_oracle(constraint_matrix(data.view, chosen), 36, 6, result, options.tolerance);
      if (!separable) continue;
      // W_mm attends to them, with the margin that it says.
      std::vector<std::size_t> of_queries = chosen;
      if (chosen.size() == 2) of_queries = {1, 1, 2, 2};
      CHECK(selected_tokens(data.view, std::span<const double>(result.weights)) == of_queries);
      const double margin =
          margin_in_norm(data.view, chosen, std::span<const double>(result.weights), MatrixNorm::frobenius);
      CHECK(std::fabs(margin - result.margin) <= 64.0 * 0x1p-53 * result.margin * result.norm);
    }
    MaxMarginOptions options;
    options.selected = {0, 1, 2};
    CHECK_THROWS_AS(solve_max_margin(data.view, options), InvalidArgument);
    options.selected = {0, 1, 2, 3};
    CHECK_THROWS_AS(solve_max_margin(data.view, options), InvalidArgument);
  }
}

TEST_CASE("a query that a sample has m times is one query", "[max_margin]") {
  const TestBatch<double> one({{4, 4, 4}, 6, 0, false, true}, 4);
  BatchView<double> many = one.view;
  std::vector<std::int64_t> index;
  for (const std::int64_t q : one.query_index) index.insert(index.end(), 3, q);
  many.query_index = index.data();
  many.n_queries = 3;
  const MaxMarginResult a = solve_both_ways(one.view), b = solve_both_ways(many);
  REQUIRE(a.status == MaxMarginStatus::optimal);
  REQUIRE(b.status == MaxMarginStatus::optimal);
  CHECK(b.n_constraints == 3 * a.n_constraints);
  // ||W - W_mm||^2 <= gap ||W||^2 for each of the two.
  CHECK(compare_direction(a.weights, b.weights).angle <= 2.0 * std::sqrt(2.0 * 1e-10));
}

TEST_CASE("several queries go with ties and with other norms", "[max_margin]") {
  Layout layout{{3, 3}, 6, 0, true};
  layout.n_queries = 2;
  const TestBatch<double> data(layout, 2);
  const MaxMarginResult plain = solve_both_ways(data.view);
  REQUIRE(plain.status == MaxMarginStatus::optimal);
  std::vector<std::vector<std::size_t>> tied;
  for (const std::size_t optimal : score_tokens(data.view).optimal) tied.push_back({optimal});
  const TiedMaxMarginResult without_ties = solve_max_margin_with_ties(data.view, tied);
  REQUIRE(without_ties.solution.status == MaxMarginStatus::optimal);
  CHECK(without_ties.solution.multipliers.size() == 12);
  CHECK(compare_direction(plain.weights, without_ties.solution.weights).angle <=
        2.0 * std::sqrt(2.0 * 1e-10));
  NormMaxMarginOptions options;
  options.norm = MatrixNorm::l_p;
  options.p = 2.0;
  const MaxMarginResult l_2 = solve_max_margin_in_norm(data.view, options);
  CHECK(std::fabs(l_2.norm - plain.norm) <= 2e-8 * plain.norm);
  options.norm = MatrixNorm::nuclear;
  const MaxMarginResult nuclear = solve_max_margin_in_norm(data.view, options);
  // Every constraint of every query holds, at a norm between the Frobenius norm and that of W_mm.
  CHECK(nuclear.duality_gap <= 1e-7);
  for (const double value : constraint_values(data.view, score_tokens(data.view).optimal,
                                              std::span<const double>(nuclear.weights)))
    CHECK(value >= 1.0 - 1e-12);
  CHECK(nuclear.norm >= plain.norm * (1.0 - 1e-7));
  CHECK(nuclear.norm <= matrix_norm(plain.weights, 6, 6, MatrixNorm::nuclear) * (1.0 + 1e-7));
}
