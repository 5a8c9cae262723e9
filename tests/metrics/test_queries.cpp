// Margins and sparsity of samples with several queries, from those of one query at a time.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "softstep/metrics.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

TEMPLATE_TEST_CASE("margins are the smallest over all queries, sparsity their mean by weight", "[metrics]",
                   float, double) {
  using T = TestType;
  constexpr std::size_t m = 3, n = 3;
  Layout layout{{4, 4, 4}, 5, 1, false, true};
  layout.n_queries = m;
  layout.weights = true;
  const TestBatch<T> data(layout, 8);
  const BatchView<T>& batch = data.view;
  const std::vector<T> w = weights_toward(batch, Toward::anywhere, 20.0);
  const std::span<const T> weights(w);
  const TokenScores scores = score_tokens(batch);
  double margin = INFINITY;
  std::vector<double> values(n * m * 4), margins(n, INFINITY), entropy(n, 0.0), effective(n, 0.0);
  double below = 0.0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t q = 0; q < m; ++q) {
      BatchView<T> one = batch;  // sample i with query q
      const std::int64_t index = data.query_index[i * m + q];
      one.tokens = batch.sample(i);
      one.n_samples = 1;
      one.labels = batch.labels + i;
      one.query_index = &index;
      one.n_queries = 1;
      one.query_weights = {};
      double sum = 0.0;
      for (std::size_t r = 0; r < m; ++r) sum += batch.query_weight(i, r);
      const double share = batch.query_weight(i, q) / sum;
      margin = std::min(margin, normalized_margin(one, score_tokens(one), weights));
      const std::vector<double> of_one = constraint_values(one, {scores.optimal[i]}, weights);
      std::copy(of_one.begin(), of_one.end(), values.begin() + static_cast<std::ptrdiff_t>((i * m + q) * 4));
      margins[i] = std::min(margins[i], *std::min_element(of_one.begin(), of_one.end()));
      const AttentionSparsity sparsity = attention_sparsity(one, weights, 0.1);
      entropy[i] += share * sparsity.mean_entropy;
      effective[i] += share * sparsity.mean_effective_tokens;
      below += share * 4.0 * sparsity.fraction_below;
    }
  CHECK(normalized_margin(batch, scores, weights) == margin);
  CHECK(constraint_values(batch, scores.optimal, weights) == values);
  CHECK(sample_margins(batch, scores.optimal, weights) == margins);
  const auto mean = [](const std::vector<double>& x) { return (x[0] + x[1] + x[2]) / 3.0; };
  const AttentionSparsity sparsity = attention_sparsity(batch, weights, 0.1);
  // Nine terms of one sign in another order, some three roundings each.
  constexpr double tolerance = 32.0 * 0x1p-53;
  CHECK(std::fabs(sparsity.mean_entropy - mean(entropy)) <= tolerance * mean(entropy));
  CHECK(std::fabs(mean_attention_entropy(batch, weights) - mean(entropy)) <= tolerance * mean(entropy));
  CHECK(std::fabs(sparsity.mean_effective_tokens - mean(effective)) <= tolerance * mean(effective));
  CHECK(std::fabs(sparsity.fraction_below - below / 12.0) <= tolerance * below);
  CHECK_THROWS_AS(constraint_values(batch, std::vector<std::size_t>(4, 0), weights), InvalidArgument);
}

// Found by tests/fuzz/c_calls.cpp: rows of queries that were not there were read.
TEST_CASE("attention_sparsity refuses a batch that says two things of its queries", "[metrics]") {
  const std::vector<double> tokens(2 * 4 * 2, 1.0), queries(2 * 2, 1.0), weights(4, 0.0);
  const std::vector<std::int8_t> labels = {1, -1};
  BatchView<double> batch;
  batch.tokens = tokens.data();
  batch.n_samples = 2;
  batch.n_tokens = 4;
  batch.dim = 2;
  batch.labels = labels.data();
  batch.queries = queries.data();
  CHECK(attention_sparsity(batch, std::span<const double>(weights), 1e-3).mean_effective_tokens > 3.0);
  batch.all_tokens_are_queries = true;
  CHECK_THROWS_AS(attention_sparsity(batch, std::span<const double>(weights), 1e-3), InvalidArgument);
  CHECK_THROWS_AS(mean_attention_entropy(batch, std::span<const double>(weights)), InvalidArgument);
}
