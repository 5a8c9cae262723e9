#pragma once

// What the gradient rows of a pass are multiplied by, l' and the exponents of the samples among it, and the
// exponent C that they then share (docs/mathematics.md, section 2; simd/kernels/row_factors.h).

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/layer/attention_data.h"
#include "core/layer/outcomes.h"
#include "core/threads/team.h"
#include "softstep/model.h"

namespace softstep {

template <class T>
class RowFactors {
 public:
  explicit RowFactors(const AttentionData<T>& data);

  /// Which rows they are of. `largest_factor`: by row, the largest entry of what the row will be
  /// multiplied by on the way to its block (of a query, where the block is W). `powers`: by row, where that
  /// is divided by a power of two first; null if not. `rows` stay where they are.
  void set_rows(const PassRows& rows, const Scoring<T>& scoring, const double* largest_factor,
                const int* powers = nullptr);
  /// Finds the factors and returns C: -infinity where every row is zero, NaN where one is not a number; then
  /// there are no factors. `largest`: by row, the largest entry of the row as it is, and zeros up to whole
  /// vectors (simd::round_up_to_lanes<double>).
  double set(const Outcomes<T>& outcomes, const double* largest);

  std::size_t n_rows() const { return n_rows_; }
  /// What the factors of a row depend on beside what a pass finds: the fields of RowFactorsArgs.
  struct Constants {
    double gap_unit, optimal_score, unit_power, inverse_query;
  };
  Constants constants(std::size_t row) const {
    return {gap_unit_[row], optimal_score_[row], unit_power_[row], inverse_factor_[row]};
  }
  /// What is added to the exponent that comes of these.
  double common_exponent() const { return common_power_ * std::log(2.0); }
  // Rows, or what stands for them, times e^(c_i - C) l'_i / n. Called by all threads of a team; they end when
  // all are done.
  void scale_rows(const Team& team, T* rows, std::size_t n_cols, std::size_t stride) const;
  void scale_lanes(const Team& team, T* rows, std::size_t n_lanes) const;  ///< dim x n_lanes
  /// One per token in batch order. `token_powers`: where tokens are divided by powers of two first; null if
  /// not.
  void scale_weights(const Team& team, T* weights, const int* token_powers = nullptr) const;
  /// At least sum_i |g_i| |z_i| of the scaled rows, all of them: what the gradient's norm could be if nothing
  /// cancelled.
  double sum_of_sizes() const;

 private:
  template <class SlopeOf>
  double set_from_slopes(const Outcomes<T>& outcomes, const double* largest, SlopeOf slope_of);
  double set_among_ranks(const Outcomes<T>& outcomes, const double* largest);
  double set_pooled(const Outcomes<T>& outcomes, const double* largest);
  int common_power_of(SampleSet samples, const Scoring<T>& scoring, const double* largest_factor) const;

  const AttentionData<T>& data_;
  std::size_t n_rows_ = 0;
  const PassRows* rows_ = nullptr;
  const Scoring<T>* scoring_ = nullptr;
  int token_power_ = 0;   // of the first token that is not zero
  int common_power_ = 0;  // of gaps, queries and tokens; unit_power_ is without it
  std::vector<double> optimal_score_, target_, gap_unit_, unit_power_, inverse_factor_;
  std::vector<double> query_norms_;    // |z|, divided as the queries are
  std::vector<Scaled> pooled_slopes_;  // by row
  std::vector<double> row_scale_, row_factor_, size_;
};

}  // namespace softstep
