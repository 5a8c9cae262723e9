#pragma once

// Small problems for the max-margin tests, made from the constraints themselves.

#include <cstdint>
#include <vector>

#include "softstep/batch.h"

namespace softstep::test {

/// Samples of one token against one other, x_opt - x_other = D, with the decoder given: labels are set so
/// that the first token is optimal, which needs |decoder . D| > 0.
template <class T>
struct PairBatch {
  std::vector<T> tokens, queries, decoder;
  std::vector<std::int8_t> labels;
  BatchView<T> view;

  PairBatch(std::vector<T> u, const std::vector<std::vector<T>>& differences,
            const std::vector<std::vector<T>>& z)
      : decoder(std::move(u)) {
    const std::size_t d = decoder.size();
    for (std::size_t i = 0; i < differences.size(); ++i) {
      T score = 0;
      for (std::size_t j = 0; j < d; ++j) score += decoder[j] * differences[i][j];
      tokens.insert(tokens.end(), differences[i].begin(), differences[i].end());
      tokens.insert(tokens.end(), d, T(0));
      queries.insert(queries.end(), z[i].begin(), z[i].end());
      labels.push_back(score > 0 ? std::int8_t{1} : std::int8_t{-1});
    }
    view.tokens = tokens.data();
    view.n_samples = differences.size();
    view.n_tokens = 2;
    view.dim = d;
    view.labels = labels.data();
    view.decoder = decoder.data();
    view.queries = queries.data();
  }
  PairBatch(const PairBatch&) = delete;
  PairBatch& operator=(const PairBatch&) = delete;
};

/// A copy of a batch whose tokens, queries and order may be changed; uniform, separate queries.
template <class T>
struct OwnedBatch {
  std::vector<T> tokens, queries, decoder;
  std::vector<std::int8_t> labels;
  std::size_t n_tokens, dim;

  explicit OwnedBatch(const BatchView<T>& from)
      : decoder(from.decoder, from.decoder + from.dim),
        labels(from.labels, from.labels + from.n_samples),
        n_tokens(from.n_tokens),
        dim(from.dim) {
    for (std::size_t i = 0; i < from.n_samples; ++i) {
      for (std::size_t t = 0; t < n_tokens; ++t) {
        const T* x = from.sample(i) + t * from.row_stride();
        tokens.insert(tokens.end(), x, x + dim);
      }
      queries.insert(queries.end(), from.query(i), from.query(i) + dim);
    }
  }
  T* token(std::size_t i, std::size_t t) { return tokens.data() + (i * n_tokens + t) * dim; }
  T* query(std::size_t i) { return queries.data() + i * dim; }
  BatchView<T> view() const {
    BatchView<T> out;
    out.tokens = tokens.data();
    out.n_samples = labels.size();
    out.n_tokens = n_tokens;
    out.dim = dim;
    out.labels = labels.data();
    out.decoder = decoder.data();
    out.queries = queries.data();
    return out;
  }
};

}  // namespace softstep::test
