#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "core/layer/passes/attention_pass.h"
#include "core/layer/passes/query_products.h"

namespace softstep {

/// Sample by sample: V and g have a row for each query of the samples of the pass, with rows of
/// AttentionData::stride. A sample of few queries is attended to query by query, each a visit to its tokens;
/// one of many by products of matrices, S = V X^T and g = R X, with the softmax of each row between them
/// (query_products.h).
template <class T>
class SamplePass final : public AttentionPass<T> {
 public:
  /// V is read from `projected` and g written to `rows`, which stay where they are. `means`: where
  /// sum_q w_iq X_i^T p_iq of each sample goes, or null.
  SamplePass(const AttentionData<T>& data, const Scoring<T>& scoring, const T* projected, T* rows,
             T* means = nullptr);

  void attend(const Team& team, const PassRows& rows, bool with_rows) override;
  simd::AttentionStats<T> stats(std::size_t row) const override { return stats_[row]; }

  /// What the kernel is handed for a row; `space`: work space of 2 * AttentionData::longest, scores first.
  simd::AttentionArgs<T> args_of(std::size_t row, std::size_t sample, bool with_row, T* space) const;

 private:
  void attend_to_samples(const Team& team, const SampleSet& samples, std::size_t begin, std::size_t end);
  void attend_to_pooled(const Team& team, const PassRows& rows, bool with_rows);
  void average(std::size_t row, std::size_t sample, double weight, T* mean);

  const T* projected_;
  T* rows_;
  T* means_;
  std::vector<T> work_;                     // scores and weights of the samples of one call, by thread
  std::size_t work_stride_;                 // of a thread: no two share a cache line
  std::vector<QueryProducts<T>> products_;  // by thread
  std::vector<simd::AttentionStats<T>> stats_;
  // What the kernel is handed, by row. It stays the same while all samples are attended to by teams of one
  // size, and no pass ends half-way with an exception.
  std::vector<simd::AttentionArgs<T>> args_;
  struct Prepared {
    std::size_t team_size = 0;
    bool with_rows = false;
    bool operator==(const Prepared&) const = default;
  } prepared_;
  std::atomic<bool> is_torn_{false};  // set by any member of a team
};

}  // namespace softstep
