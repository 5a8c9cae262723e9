#pragma once

// The attention of some samples of a batch, from projected queries V to gradient rows: what every attention model has
// between its blocks. The decoder is the batch's, or one that changes from call to call.

#include <cstddef>
#include <vector>

#include "core/objective/sample_terms.h"
#include "core/threads/team.h"
#include "simd/dispatch.h"
#include "softstep/model.h"

namespace softstep {

template <class T>
class AttentionRows {
 public:
  /// `trains_decoder`: tokens are scored with the decoder given to attend(), else once with the batch's.
  AttentionRows(const BatchView<T>& batch, const ObjectiveOptions& options, bool trains_decoder);

  /// The samples of the next calls, all if there are no indices. "Row" counts them.
  void choose(SampleSet samples);
  std::size_t n_chosen() const { return n_chosen_; }
  std::size_t sample(std::size_t row) const { return chosen_ == nullptr ? row : chosen_[row]; }

  const BatchView<T> batch;
  const simd::Isa& isa;
  const simd::Kernels<T>& kernels;
  const std::size_t stride;  ///< of arrays with a row per sample, in elements
  int threads_for(double work) const { return worth_threads(work) ? n_threads_ : 1; }

  /// Forward, and the gradient rows without l' if they are wanted, from V = `projected`.
  void attend(const T* projected, const T* decoder, bool want_rows);
  void loss(ModelEvaluation<T>& out);
  void attention_of_optimal(ModelEvaluation<T>& out) const;
  double optimal_loss() const { return optimal_loss_; }

  /// Brings the rows to n dL/dv_i / n = g_i e^-C and returns C; `largest_factor`: by row, the largest entry of what the row will
  /// be multiplied by. -infinity: every row is zero; NaN: one is not a number; then they are left as they are.
  double scale_rows(const double* largest_factor) {
    return scale(rows_.data(), batch.dim, stride, nullptr, largest_factor);
  }
  /// The same for what became of the rows, linear in them, before they were scaled: by row the largest entry beside.
  double scale(T* rows, std::size_t n_cols, std::size_t row_stride, const double* largest_entry,
               const double* largest_factor);
  const T* rows() const { return rows_.data(); }
  /// dL/du
  void decoder_gradient(BlockGradient<T>& out) const;

 private:
  const double* score(std::size_t row, const T* decoder, double* space);
  void attend_one(std::size_t row, const T* projected, const T* decoder, bool want_rows, std::size_t thread);
  void average(std::size_t row, const T* token_scores, T* p);
  SampleTerms<T> terms_of(std::size_t row) const {
    return {stats_[row], gap_unit_[row], pivot_gap_[row], optimal_score_[row]};
  }

  const ObjectiveOptions options_;
  const int n_threads_;
  const bool trains_decoder_;
  TokenScores scores_;  // with the batch's decoder
  std::size_t longest_ = 0;
  const std::size_t* chosen_ = nullptr;
  std::size_t n_chosen_ = 0;
  std::vector<T> rows_, means_, work_;
  std::vector<double> score_work_;
  // By row.
  std::vector<simd::AttentionStats<T>> stats_;
  std::vector<std::size_t> optimal_;
  std::vector<double> gap_unit_, pivot_gap_, optimal_score_;
  // What the kernel row_factors reads and writes.
  std::vector<double> exponent_, mean_gap_, largest_, log_unit_, inverse_factor_, row_scale_, row_factor_,
      size_;
  std::vector<Scaled> terms_;
  double optimal_loss_ = 0.0;
};

}  // namespace softstep
