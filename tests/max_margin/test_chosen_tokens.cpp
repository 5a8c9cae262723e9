// The local problem: chosen tokens in place of the optimal ones, and the tokens that weights choose.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "data/refused.h"
#include "max_margin/both_ways.h"
#include "max_margin/certificate_check.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

Layout ragged_layout() {
  Layout layout;
  layout.n_tokens = {3, 1, 5, 4, 2};
  layout.dim = 6;
  layout.pad = 2;
  layout.ragged = layout.separate_queries = true;
  return layout;
}

}  // namespace

TEMPLATE_TEST_CASE("any chosen tokens: against the exact method, without a decoder", "[max_margin]", float,
                   double) {
  int separable = 0, not_separable = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Layout layout = ragged_layout();
    layout.dim = 2 + seed % 5;
    layout.separate_queries = seed % 2 == 0;
    layout.query_index = !layout.separate_queries;
    TestBatch<TestType> data(layout, seed);
    data.view.decoder = nullptr;
    MaxMarginOptions options;
    for (std::size_t i = 0; i < data.view.n_samples; ++i)
      options.selected.push_back((seed + i) % data.view.tokens_of(i));
    CAPTURE(seed, layout.dim);
    const MaxMarginResult result = solve_max_margin(data.view, options);
    CHECK(result.unique_optimal_tokens);
    const Rows rows = constraint_matrix(data.view, options.selected);
    ++(agrees_with_oracle(rows, layout.dim * layout.dim, layout.dim, result, options.tolerance)
           ? separable
           : not_separable);
  }
  CHECK(separable >= 20);
  CHECK(not_separable >= 5);
}

TEMPLATE_TEST_CASE("the optimal tokens chosen are the problem itself", "[max_margin]", float, double) {
  const TestBatch<TestType> data(ragged_layout(), 4);
  const MaxMarginResult usual = solve_both_ways(data.view);
  MaxMarginOptions options;
  options.selected = score_tokens(data.view).optimal;
  const MaxMarginResult chosen = solve_max_margin(data.view, options);
  REQUIRE(usual.status == MaxMarginStatus::optimal);
  CHECK(chosen.weights == usual.weights);
  CHECK(chosen.multipliers == usual.multipliers);
}

TEMPLATE_TEST_CASE("weights select the tokens that they attend to", "[max_margin]", float, double) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const TestBatch<TestType> data(ragged_layout(), seed);
    const std::size_t d = data.view.dim;
    const auto weights = weights_toward(data.view, Toward::anywhere, 3.0, seed);
    const std::vector<std::size_t> selected = selected_tokens(data.view, weights);
    REQUIRE(selected.size() == data.view.n_samples);
    for (std::size_t i = 0; i < selected.size(); ++i) {
      std::size_t best = 0;
      Real highest = -INFINITY;
      for (std::size_t t = 0; t < data.view.tokens_of(i); ++t) {
        Real score = 0;
        for (std::size_t r = 0; r < d; ++r)
          for (std::size_t c = 0; c < d; ++c)
            score += static_cast<Real>(data.view.sample(i)[t * data.view.row_stride() + r]) *
                     static_cast<Real>(weights[r * d + c]) * static_cast<Real>(data.view.query(i)[c]);
        if (score > highest) highest = score, best = t;
      }
      CHECK(selected[i] == best);
    }
    // What is selected has positive margins, and the local problem can be solved.
    MaxMarginOptions options;
    options.selected = selected;
    CHECK(solve_max_margin(data.view, options).status == MaxMarginStatus::optimal);
  }
  // At W = 0 all scores are equal: the first.
  const TestBatch<TestType> data(ragged_layout(), 1);
  const std::vector<double> zero(36, 0.0);
  CHECK(selected_tokens(data.view, zero) == std::vector<std::size_t>(5, 0));
}

TEST_CASE("a bad selection is refused by field and sample", "[max_margin]") {
  const TestBatch<double> data(ragged_layout(), 1);
  MaxMarginOptions options;
  options.selected = {0, 0, 0, 0};
  require_refused("selected", {"4", "5 samples"}, [&] { solve_max_margin(data.view, options); });
  options.selected = {2, 1, 0, 0, 0};
  require_refused("selected", {"sample 1", "1", "0 to 0"}, [&] { solve_max_margin(data.view, options); });
  options.selected = {2, 0, 4, 4, 0};
  require_refused("selected", {"sample 3", "4", "0 to 3"}, [&] { solve_max_margin(data.view, options); });
  std::vector<double> weights(36, 1.0);
  weights[7] = std::numeric_limits<double>::quiet_NaN();
  require_refused("weights", {"sample 0", "token 0", "nan"}, [&] { selected_tokens(data.view, weights); });
  weights.pop_back();
  require_refused("weights", {"35", "dim * dim = 36"}, [&] { selected_tokens(data.view, weights); });
}

TEST_CASE("powers of two do not change which tokens weights select", "[max_margin]") {
  struct Powers {
    int tokens, queries, weights;
  };
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const TestBatch<double> data(ragged_layout(), seed);
    const auto weights = weights_toward(data.view, Toward::anywhere, 3.0, seed);
    const std::vector<std::size_t> one = selected_tokens(data.view, weights);
    for (const Powers powers : {Powers{-532, -532, 0},
                                {-700, -700, 30},
                                {-900, 300, -900},
                                {700, 700, 700},
                                {900, -900, 0},
                                {0, -500, -500}}) {
      CAPTURE(seed, powers.tokens, powers.queries, powers.weights);
      TestBatch<double> other(ragged_layout(), seed);
      for (double& x : other.tokens) x = std::ldexp(x, powers.tokens);
      for (double& x : other.queries) x = std::ldexp(x, powers.queries);
      std::vector<double> scaled(weights.begin(), weights.end());
      for (double& x : scaled) x = std::ldexp(x, powers.weights);
      CHECK(selected_tokens(other.view, scaled) == one);
    }
  }
  // Tokens that differ in their last bit, at 1e-160 each.
  const std::vector<double> tokens = {1e-160, 1e-160 * (1 + 0x1p-52)}, query = {1e-160}, w = {1.0};
  const std::vector<std::int8_t> labels = {1};
  BatchView<double> view;
  view.tokens = tokens.data();
  view.n_samples = 1;
  view.n_tokens = 2;
  view.dim = 1;
  view.labels = labels.data();
  view.queries = query.data();
  CHECK(selected_tokens(view, w) == std::vector<std::size_t>{1});
}
