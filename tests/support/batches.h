#pragma once

// Small random batches in every layout that BatchView knows.

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "softstep/batch.h"

namespace softstep::test {

struct Layout {
  std::vector<std::size_t> n_tokens{4, 4, 4};  ///< of each sample; equal ones make a uniform batch
  std::size_t dim = 5;
  std::size_t pad = 0;  ///< elements between rows (and between samples and queries), NaN
  bool separate_queries = false, query_index = false, ragged = false;
  /// Several queries: m of every sample, or of each (with separate_queries or query_index), or every token.
  std::size_t n_queries = 1;
  std::vector<std::size_t> queries_of = {};
  bool all_queries = false, weights = false;  ///< weights that do not add up to 1
};

template <class T>
struct TestBatch {
  std::vector<T> tokens, decoder, queries, query_weights;
  std::vector<std::int8_t> labels;
  std::vector<std::int64_t> offsets, query_index, query_offsets;
  BatchView<T> view;

  TestBatch(const Layout& layout, std::uint64_t seed, double token_scale = 1.0, double decoder_scale = 1.0) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    const auto number = [&](double scale) { return static_cast<T>(scale * uniform(random)); };
    const auto nan = std::numeric_limits<T>::quiet_NaN();
    const std::size_t n = layout.n_tokens.size(), d = layout.dim;
    const auto row = [&](std::vector<T>& out, double scale) {
      for (std::size_t j = 0; j < d; ++j) out.push_back(number(scale));
      for (std::size_t j = 0; j < layout.pad; ++j) out.push_back(nan);
    };
    std::int64_t total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      offsets.push_back(total);
      total += static_cast<std::int64_t>(layout.n_tokens[i]);
      for (std::size_t t = 0; t < layout.n_tokens[i]; ++t) row(tokens, token_scale);
      if (layout.pad != 0 && !layout.ragged) tokens.insert(tokens.end(), 3, nan);
      labels.push_back(random() % 2 == 0 ? std::int8_t{1} : std::int8_t{-1});
      const std::size_t m = layout.queries_of.empty() ? layout.n_queries : layout.queries_of[i];
      query_offsets.push_back(static_cast<std::int64_t>(query_index.size()));
      for (std::size_t q = 0; q < m; ++q) {
        query_index.push_back(static_cast<std::int64_t>(random() % layout.n_tokens[i]));
        row(queries, token_scale);
      }
    }
    query_offsets.push_back(static_cast<std::int64_t>(query_index.size()));
    offsets.push_back(total);
    for (std::size_t j = 0; j < d; ++j) decoder.push_back(number(decoder_scale));
    view.tokens = tokens.data();
    view.n_samples = n;
    view.dim = d;
    view.labels = labels.data();
    view.decoder = decoder.data();
    view.token_stride = layout.pad == 0 ? 0 : d + layout.pad;
    if (layout.ragged) {
      view.offsets = offsets.data();
    } else {
      view.n_tokens = layout.n_tokens[0];
      if (layout.pad != 0) view.sample_stride = layout.n_tokens[0] * (d + layout.pad) + 3;
    }
    if (layout.query_index) view.query_index = query_index.data();
    if (layout.separate_queries) {
      view.queries = queries.data();
      view.query_stride = layout.pad == 0 ? 0 : d + layout.pad;
    }
    view.all_tokens_are_queries = layout.all_queries;
    view.n_queries = layout.n_queries;
    if (!layout.queries_of.empty()) view.query_offsets = query_offsets;
    if (layout.weights) {
      for (std::size_t q = 0; q < view.total_queries(); ++q)
        query_weights.push_back(static_cast<T>(0.6 + 0.5 * uniform(random)));
      view.query_weights = query_weights;
    }
  }
  TestBatch(const TestBatch&) = delete;
  TestBatch& operator=(const TestBatch&) = delete;
};

/// Where weights lead: to the optimal token of each sample, to another one, or anywhere.
enum class Toward { optimal, other, anywhere };

/// Weights of the given norm. sum_i (x_chosen - mean_t x) z_i^T raises the score of the chosen tokens.
template <class T>
std::vector<T> weights_toward(const BatchView<T>& batch, Toward toward, double norm, std::uint64_t seed = 5) {
  const std::size_t d = batch.dim;
  const TokenScores scores = score_tokens(batch);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<double> w(d * d, 0.0);
  if (toward == Toward::anywhere)
    for (double& x : w) x = uniform(random);
  else
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      const std::size_t n_tokens = batch.tokens_of(i);
      const std::size_t chosen = (scores.optimal[i] + (toward == Toward::other ? 1 : 0)) % n_tokens;
      for (std::size_t r = 0; r < d; ++r) {
        double lift = 0.0;
        for (std::size_t t = 0; t < n_tokens; ++t)
          lift += static_cast<double>(batch.sample(i)[chosen * batch.row_stride() + r]) -
                  static_cast<double>(batch.sample(i)[t * batch.row_stride() + r]);
        for (std::size_t q = 0; q < batch.queries_of(i); ++q)
          for (std::size_t c = 0; c < d; ++c)
            w[r * d + c] += lift * static_cast<double>(batch.query(i, q)[c]);
      }
    }
  double length = 0.0;
  for (const double x : w) length = std::hypot(length, x);
  std::vector<T> out;
  for (const double x : w) out.push_back(static_cast<T>(length == 0.0 ? 0.0 : x / length * norm));
  return out;
}

}  // namespace softstep::test
