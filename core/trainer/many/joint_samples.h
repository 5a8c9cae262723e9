#pragma once

// Runs side by side that train the decoder too: its scores of all tokens before the pass, and its gradient
// after it. The order of sums is that of lane_samples.h.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/layer/mantissa.h"
#include "core/layer/units.h"
#include "core/trainer/many/lane_samples.h"

namespace softstep {

template <class T>
class JointSamples final : public LaneSamples<T> {
 public:
  explicit JointSamples(const RunShape& shape) : LaneSamples<T>(shape) {
    const std::size_t by_token = shape.n_tokens * this->columns_;
    this->attention_.assign(by_token, T(0));
    scores_.assign(by_token, T(0));
    is_missing_.assign(by_token, not_a_number);
    for (auto* field : {&none_, &coefficient_}) field->assign(this->columns_, T(0));
    one_.assign(this->columns_, T(1));
    means_.assign(shape.dim * this->columns_, T(0));
    for (auto* field : {&sign_, &share_, &query_power_, &no_power_, &scale_, &factor_, &size_of_slope_})
      field->assign(this->columns_, 0.0);
    for (auto* field : {&top_of_slopes_, &sum_of_slopes_, &poison_, &best_, &largest_gap_})
      field->assign(this->width_, 0.0);
  }

  /// Puts a run's data into a lane.
  void take_in(std::size_t lane, const AttentionData<T>& data) {
    this->take_in_tokens(lane, data);
    const double n = static_cast<double>(this->shape_.n_samples);
    for (std::size_t i = 0; i < this->shape_.n_samples; ++i) {
      const std::size_t at = this->column(i, lane);
      for (std::size_t t = 0; t < this->shape_.n_tokens; ++t)
        is_missing_[t * this->columns_ + at] = t < data.batch.tokens_of(i) ? T(0) : not_a_number;
      sign_[at] = data.batch.sign(i);
      share_[at] = sign_[at] / n;
      const auto largest =
          static_cast<double>(largest_of(data.queries.data() + i * data.stride, data.batch.dim));
      const int power = unit_power<T>(largest);
      query_power_[at] = largest == 0.0 ? -infinity : power;
      this->inverse_query_[at] = std::ldexp(1.0 / n, -power);
    }
  }
  /// The lane is free: it has no tokens.
  void leave(std::size_t lane) {
    for (std::size_t k = lane; k < is_missing_.size(); k += this->width_) is_missing_[k] = not_a_number;
  }

  /// gamma_it = y_i u^T x_it with the decoders u_j of all runs at j * width + lane, before attend(): their
  /// gaps in units of the power of two at or below the largest, as Scoring has them.
  void score(const T* decoders) {
    std::fill(poison_.begin(), poison_.end(), 0.0);
    for (std::size_t i = 0; i < this->shape_.n_samples; ++i) {
      const std::size_t at = i * this->width_;
      this->kernels_.run_product({.n_rows = this->shape_.n_tokens,
                                  .n_cols = 1,
                                  .n_inner = this->shape_.dim,
                                  .a = this->tokens_.data() + this->token_place(0, at),
                                  .a_row = this->shape_.dim * this->multiple,
                                  .a_col = this->multiple,
                                  .b = decoders,
                                  .b_row = this->width_,
                                  .b_col = 0,
                                  .out = scores_.data() + at,
                                  .out_row = this->columns_,
                                  .out_col = 0,
                                  .squared = nullptr});
      find_best(at);
      find_gaps_of(at);
    }
  }
  /// NaN if a score of the run is not finite, else 0.
  double poison(std::size_t lane) const { return poison_[lane]; }

  /// After attend(): the gradients of all decoders but for their exponents, laid out as they are, and the
  /// sums of their squares: (1/n) sum_i l'(m_i) y_i X_i^T p_i.
  void find_decoder_gradients(T* out, double* squared) {
    const std::size_t n = this->shape_.n_samples, d = this->shape_.dim, w = this->width_,
                      columns = this->columns_;
    for (std::size_t i = 0; i < n; ++i)
      this->kernels_.run_product({.n_rows = d,
                                  .n_cols = 1,
                                  .n_inner = this->shape_.n_tokens,
                                  .a = this->tokens_.data() + this->token_place(0, i * w),
                                  .a_row = this->multiple,
                                  .a_col = d * this->multiple,
                                  .b = this->attention_.data() + i * w,
                                  .b_row = columns,
                                  .b_col = 0,
                                  .out = means_.data() + i * w,
                                  .out_row = columns,
                                  .out_col = 0,
                                  .squared = nullptr});
    // Slopes alone: of rows whose entries are 1, without an exponent of their own.
    this->kernels_.run_factors({.n = n,
                                .logistic = this->shape_.logistic,
                                .exponent = none_.data(),
                                .shifted_gap = this->shifted_gap_.data(),
                                .largest = one_.data(),
                                .pivot_gap = this->pivot_gap_.data(),
                                .gap_unit = this->gap_unit_.data(),
                                .optimal_score = this->optimal_score_.data(),
                                .unit_power = no_power_.data(),
                                .inverse_query = share_.data(),
                                .query_norm = no_power_.data(),
                                .row_scale = scale_.data(),
                                .row_factor = factor_.data(),
                                .top = top_of_slopes_.data(),
                                .sum_of_sizes = sum_of_slopes_.data(),
                                .size = size_of_slope_.data()});
    for (std::size_t at = 0; at < this->used_; ++at)
      coefficient_[at] = static_cast<T>(scale_[at] * factor_[at]);
    this->kernels_.run_product({.n_rows = d,
                                .n_cols = 1,
                                .n_inner = n,
                                .a = means_.data(),
                                .a_row = columns,
                                .a_col = w,
                                .b = coefficient_.data(),
                                .b_row = w,
                                .b_col = 0,
                                .out = out,
                                .out_row = w,
                                .out_col = 0,
                                .squared = squared});
  }
  /// The exponent of a run's decoder gradient.
  double top_of_slopes(std::size_t lane) const { return top_of_slopes_[lane]; }

  /// m_i of a run, by the e^c mu that the gradient has it by (simd/kernels/run_gaps.h).
  double margin(std::size_t i, std::size_t lane) const {
    const std::size_t at = this->column(i, lane);
    return this->optimal_score_[at] - this->pivot_gap_[at] +
           this->gap_unit_[at] * static_cast<double>(this->shifted_gap_[at]);
  }

 private:
  static constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  // Signed scores of the samples in the columns from `at` on; the best token, the first of equals.
  void find_best(std::size_t at) {
    std::fill(best_.begin(), best_.end(), -infinity);
    std::fill_n(this->optimal_.data() + at, this->width_, T(0));
    for (std::size_t t = 0; t < this->shape_.n_tokens; ++t) {
      T* scores = scores_.data() + t * this->columns_ + at;
      const T* is_missing = is_missing_.data() + t * this->columns_ + at;
      for (std::size_t r = 0; r < this->width_; ++r) {
        const double score = sign_[at + r] * static_cast<double>(scores[r]);
        const bool is_there = is_missing[r] == T(0), is_better = is_there && score > best_[r];
        poison_[r] += is_there ? score * 0.0 : 0.0;
        scores[r] = static_cast<T>(score) + is_missing[r];
        best_[r] = is_better ? score : best_[r];
        this->optimal_[at + r] = is_better ? static_cast<T>(t) : this->optimal_[at + r];
      }
    }
  }
  // The gaps to it.
  void find_gaps_of(std::size_t at) {
    std::fill(largest_gap_.begin(), largest_gap_.end(), 0.0);
    for (std::size_t t = 0; t < this->shape_.n_tokens; ++t) {
      const T* scores = scores_.data() + t * this->columns_ + at;
      double* gaps = this->plain_gaps_.data() + t * this->columns_ + at;
      for (std::size_t r = 0; r < this->width_; ++r) {
        gaps[r] = best_[r] - static_cast<double>(scores[r]);
        largest_gap_[r] = gaps[r] > largest_gap_[r] ? gaps[r] : largest_gap_[r];
      }
    }
    for (std::size_t r = 0; r < this->width_; ++r) {
      const int power = power_of_unit(largest_gap_[r]);
      this->gap_unit_[at + r] = std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
      this->unit_power_[at + r] = power + query_power_[at + r];
      this->optimal_score_[at + r] = best_[r] > -infinity ? best_[r] : 0.0;
      largest_gap_[r] = 1.0 / this->gap_unit_[at + r];
    }
    for (std::size_t t = 0; t < this->shape_.n_tokens; ++t) {
      const double* gaps = this->plain_gaps_.data() + t * this->columns_ + at;
      for (std::size_t r = 0; r < this->width_; ++r)
        this->gaps_[t * this->columns_ + at + r] = static_cast<T>(gaps[r] * largest_gap_[r]);
    }
  }
  // power_of() of a number that is not negative, such that the unit and its inverse are normal numbers.
  static int power_of_unit(double largest) {
    const int exponent = static_cast<int>(std::bit_cast<std::uint64_t>(largest) >> 52) - 1023;
    if (exponent > 1023) return 0;
    return largest == 0.0 ? 0 : exponent < -1022 ? -1022 : exponent > 1022 ? 1022 : exponent;
  }

  LineArray<T> scores_, is_missing_;  // by token as attention_; 0, or NaN where there is no such token
  LineArray<T> none_, one_;           // 0 and 1
  LineArray<T> coefficient_, means_;  // l' y / n, and X^T p, dim x columns
  LineArray<double> sign_, share_;    // y, y / n
  LineArray<double> query_power_, no_power_, scale_, factor_, size_of_slope_;
  LineArray<double> top_of_slopes_, sum_of_slopes_, poison_;  // by run
  LineArray<double> best_, largest_gap_;                      // work space, by run
};

}  // namespace softstep
