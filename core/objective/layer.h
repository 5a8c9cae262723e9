#pragma once

// One attention layer over a batch: everything about an evaluation that does not depend on where the projected queries
// V = Z W^T come from. The objective computes them from W; the trainer's forms keep them in other ways (core/trainer).

#include <cstddef>
#include <memory>
#include <vector>

#include "core/objective/sample_terms.h"
#include "core/threads/large_array.h"
#include "core/threads/team.h"
#include "simd/dispatch.h"
#include "softstep/objective.h"

namespace softstep {

template <class T>
class Layer {
 public:
  /// Validates batch and options.
  Layer(const BatchView<T>& batch, const ObjectiveOptions& options);

  const BatchView<T> batch;
  const ObjectiveOptions options;
  const simd::Isa& isa;
  const simd::Kernels<T>& kernels;
  const int n_threads;
  const TokenScores scores;
  const std::size_t stride;  ///< of n x d arrays, in elements: whole cache lines, never a multiple of 4 KiB
  LargeArray<T> queries;     ///< Z, [n_samples] rows of stride

  /// An n x d array with row stride, each row first written by the thread that attends to its sample.
  LargeArray<T> zero_rows() const {
    return zeros<T>(batch.n_samples, n_threads, [this](std::size_t i) { return i * stride; });
  }

  // Functions of a team are called by all its threads.

  /// The samples whose rows are this thread's in attend() and scale_rows().
  Team::Range share_of_samples(const Team& team) const;
  /// Forward, and backward if `rows` is not null: g without l', from V = `projected`; both n x d with row stride. A thread reads
  /// no rows of V but its own.
  void attend(const Team& team, const T* projected, T* rows);
  /// Before attend_scores(), once.
  void measure_tokens();
  /// The same for scores that are given, one per token in batch order: r without l' into `weights` unless null.
  void attend_scores(const Team& team, const T* token_scores, T* weights);
  /// attend() from arrays with the sample index last, made once by pack_lanes(). A thread reads no lanes of V but its own.
  void attend_lanes(const Team& team, const T* projected, T* rows);
  Team::Range share_of_lanes(const Team& team) const;
  void pack_lanes();
  std::size_t n_lanes() const { return n_lanes_; }

  /// After one of these: of loss, loss gap, attention of the optimal tokens and batch exponent what is wanted, and whether
  /// there are rows of a gradient to go on with.
  bool conclude(const Team& team, Evaluation<T>& out, unsigned want);

  // Rows, or what stands for them, times e^(c_i - C) l'_i / n, C the exponent from conclude().
  void scale_rows(const Team& team, T* rows) const;        ///< n x d with row stride
  void scale_lanes(const Team& team, T* rows) const;       ///< d x n_lanes
  void scale_weights(const Team& team, T* weights) const;  ///< one per token in batch order
  /// At least sum_i |g_i| |z_i| of the scaled rows: what the gradient's norm could be if nothing cancelled.
  double sum_of_sizes() const;

  /// Attention of every token from V, in batch order.
  std::vector<double> attention(const T* projected);
  double optimal_loss() const { return optimal_loss_; }

  /// Threads worth starting for this many multiply-adds.
  int threads_for(double work_items) const { return worth_threads(work_items) ? n_threads : 1; }
  /// For attend() and `products` products of n x d with d x width.
  int threads_for_products(double products, std::size_t width) const {
    const auto n = static_cast<double>(batch.n_samples), d = static_cast<double>(batch.dim);
    const auto tokens = static_cast<double>(batch.total_tokens());
    return threads_for((2.0 * tokens + products * n * static_cast<double>(width)) * d);
  }

  /// The layer behind an objective, for the trainer.
  static Layer& of(Objective<T>& objective);

 private:
  void set_gaps();
  void set_units();
  void store_tokens();
  simd::AttentionArgs<T> sample_args(std::size_t i, const T* projected, T* row, T* space) const;
  /// What set_factors() needs of stats_[i], and the largest entry of the row.
  void note(std::size_t i, double largest);
  void note_lanes(bool with_rows);
  // C, and by sample the factors of the scale functions (simd/kernels/row_factors.h).
  double set_factors();
  void losses(Evaluation<T>& out, unsigned want);
  void attention_of_optimal(Evaluation<T>& out);
  void read_lanes();
  SampleTerms<T> terms_of(std::size_t i) const;

  std::vector<T> gaps_;                    // scores.gaps in T, in the unit of their sample
  std::vector<double> gap_units_;          // powers of two: the largest gap of a sample is in [1, 2) units
  std::size_t longest_ = 0;                // most tokens in one sample
  LargeArray<std::uint16_t> half_tokens_;  // in 16 bits, if that was asked for; token k at k * half_stride_
  std::size_t half_stride_ = 0;
  std::vector<T> work_;          // scores and weights of the samples of one call per thread
  std::size_t work_stride_ = 0;  // of a thread: no two share a cache line
  std::vector<simd::AttentionStats<T>> stats_;
  // What attend() hands to the kernel, by sample, and what it was made for.
  struct Prepared {
    const T* projected = nullptr;
    T* rows = nullptr;
    std::size_t n_threads = 0;
    bool operator==(const Prepared&) const = default;
  };
  std::vector<simd::AttentionArgs<T>> args_;
  Prepared prepared_;
  std::vector<Scaled> terms_, optimal_slopes_;  // the latter -l' at the optimal scores
  double optimal_loss_ = 0.0;
  // What row_factors reads and writes, by sample; then samples without a row, up to whole vectors.
  std::vector<double> exponent_, mean_gap_, pivot_gap_, largest_, optimal_score_, log_unit_, inverse_query_,
      row_scale_, row_factor_, size_;
  std::vector<double> query_norms_;  // |z_i|
  std::vector<double> token_sizes_;  // largest |x_itj| of each sample, for attend_scores
  // With the sample index last.
  std::size_t n_lanes_ = 0;
  bool lanes_are_newer_ = false;  // than stats_
  std::vector<T> lane_tokens_, lane_gaps_, lane_optimal_, lane_weights_, lane_stats_;
};

}  // namespace softstep
