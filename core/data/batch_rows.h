#pragma once

// A batch looked at as one sample for each query: rows. Those of sample 0 come first, and all rows of a
// sample have its tokens.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "softstep/batch.h"

namespace softstep::data {

template <class T>
class BatchRows {
 public:
  explicit BatchRows(const BatchView<T>& of) : batch(of), dim(of.dim) {
    if (of.total_queries() == of.n_samples) return;
    sample_.reserve(of.total_queries());
    for (std::size_t i = 0; i < of.n_samples; ++i) sample_.insert(sample_.end(), of.queries_of(i), i);
  }

  const BatchView<T> batch;
  const std::size_t dim;
  std::size_t size() const { return sample_.empty() ? batch.n_samples : sample_.size(); }
  std::size_t sample_of(std::size_t row) const { return sample_.empty() ? row : sample_[row]; }
  std::size_t tokens_of(std::size_t row) const { return batch.tokens_of(sample_of(row)); }
  const T* token(std::size_t row, std::size_t t) const {
    return batch.sample(sample_of(row)) + t * batch.row_stride();
  }
  const T* query(std::size_t row) const {
    const std::size_t i = sample_of(row);
    return batch.query(i, row - batch.first_query(i));
  }
  /// The row's part of its sample: weights over their sum.
  double share(std::size_t row) const {
    const std::size_t i = sample_of(row), m = batch.queries_of(i);
    if (m == 1 || batch.query_weights.empty()) return 1.0 / static_cast<double>(m);
    double sum = 0.0;
    for (std::size_t q = 0; q < m; ++q) sum += batch.query_weight(i, q);
    return batch.query_weight(i, row - batch.first_query(i)) / sum;
  }

 private:
  std::vector<std::size_t> sample_;  // empty where rows are samples
};

/// Token scores by row.
template <class T>
TokenScores scores_by_row(const BatchRows<T>& rows, TokenScores scores) {
  if (rows.size() == rows.batch.n_samples) return scores;
  TokenScores out;
  out.first.push_back(0);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t i = rows.sample_of(row);
    const auto begin = scores.gaps.begin() + static_cast<std::ptrdiff_t>(scores.first[i]);
    out.gaps.insert(out.gaps.end(), begin, begin + static_cast<std::ptrdiff_t>(rows.tokens_of(row)));
    out.first.push_back(out.gaps.size());
    if (!scores.gap_power.empty()) out.gap_power.push_back(scores.gap_power[i]);
    out.optimal_score.push_back(scores.optimal_score[i]);
    out.optimal.push_back(scores.optimal[i]);
  }
  out.not_unique = std::move(scores.not_unique);
  return out;
}

}  // namespace softstep::data
