#pragma once

// What an attention layer looks at and does not change: batch, queries, tokens in 16 bits, kernels. Any
// number of evaluations share it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/data/read_ahead.h"
#include "core/data/token_rows.h"
#include "core/layer/query_rows.h"
#include "core/layer/scoring.h"
#include "core/losses/loss_of.h"
#include "core/threads/large_array.h"
#include "core/threads/team.h"
#include "simd/dispatch.h"
#include "softstep/attention_model.h"

namespace softstep {

template <class T>
class LaneBatch;

template <class T>
class AttentionData {
 public:
  /// Batch and options have been validated. With tokens in 16 bits where they lie, `batch` is the rest of
  /// `halves`.
  AttentionData(const BatchView<T>& batch, const AttentionOptions& options,
                const HalfBatchView* halves = nullptr);
  ~AttentionData();

  const BatchView<T> batch;  ///< its tokens are null where they are looked at in 16 bits alone
  const AttentionOptions options;
  const LossOf loss;
  const simd::Isa& isa;
  const simd::Kernels<T>& kernels;
  const int n_threads;
  Ranks* const ranks;              ///< that the samples are split over; null: all are here
  const std::size_t first_sample;  ///< of this rank, among all
  const QueryRows query_rows;
  const std::size_t stride;   ///< of n x d arrays, in elements: whole cache lines, never a multiple of 4 KiB
  const std::size_t longest;  ///< most tokens in one sample
  const std::size_t total_tokens;
  const double attention_work;      ///< multiply-adds of attending to all samples
  LargeArray<T> queries;            ///< Z, [n_rows()] rows of stride
  std::vector<double> query_norms;  ///< |z|, by row

  /// Queries of all samples.
  std::size_t n_rows() const { return query_rows.size(); }

  /// The scores of the batch's decoder; null where the decoder is trained.
  const Scoring<T>* given_scoring() const { return scoring_.get(); }
  /// Tokens in 16 bits, the caller's or a copy where the options ask for it: row t of sample i at
  /// half_sample(i) + t * half_stride().
  StoredType storage() const { return storage_; }
  const std::uint16_t* half_sample(std::size_t i) const {
    return halves_.tokens.empty() ? half_tokens_.data() + half_first_[i] * half_stride_ : halves_.sample(i);
  }
  std::size_t half_stride() const { return half_stride_; }
  /// Tokens and queries as the caller has them, in either kind of memory.
  data::TokenRows<T> rows() const { return {batch, halves_}; }
  /// The mapped file that the tokens of a pass are read from, if only so much of it may be here at a time.
  const data::BoundedRange* bounded() const { return bounded_; }
  /// The batch with the sample index last, made when it is asked for first. Needs given scores.
  const LaneBatch<T>& lanes() const;

  /// An n x d array with row stride, each row first written by a thread that works on it; one of n_rows().
  LargeArray<T> zero_rows(std::size_t n) const {
    return zeros<T>(n, n_threads, [this](std::size_t i) { return i * stride; });
  }
  LargeArray<T> zero_rows() const { return zero_rows(n_rows()); }
  /// Threads worth starting for this many multiply-adds.
  int threads_for(double work_items) const { return worth_threads(work_items) ? n_threads : 1; }
  /// For attending and `products` products of n_rows() x d with d x width.
  int threads_for_products(double products, std::size_t width) const {
    const auto n = static_cast<double>(n_rows()), d = static_cast<double>(batch.dim);
    return threads_for(attention_work + products * n * static_cast<double>(width) * d);
  }

 private:
  void copy_queries();
  void store_tokens();

  std::unique_ptr<const Scoring<T>> scoring_;
  StoredType storage_ = StoredType::working;
  HalfBatchView halves_;                   // the caller's; without tokens where there are none
  LargeArray<std::uint16_t> half_tokens_;  // the copy
  std::vector<std::size_t> half_first_;    // place of a sample's first token
  std::size_t half_stride_ = 0;
  const data::BoundedRange* bounded_ = nullptr;
  mutable std::once_flag lanes_made_;
  mutable std::unique_ptr<const LaneBatch<T>> lanes_;
};

}  // namespace softstep
