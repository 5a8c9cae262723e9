#pragma once

// What runs side by side look at and do not change, and the pass over it: as many runs of one shape as a
// vector has lanes, one to a lane, from V = Z W^T of each to the rows g of its gradient.
//
// Which order of sums makes a run's bits its own: every sum, over dimensions, tokens or samples, runs in
// order in the run's own lane, and nothing is ever added up over lanes. So the bits do not depend on what
// stands in the other lanes, on which lane it is, or on the thread.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "core/layer/attention_data.h"
#include "core/layer/outcomes.h"
#include "core/layer/row_factors.h"
#include "core/models/attention/attention_parts.h"
#include "core/trainer/many/line_array.h"
#include "simd/dispatch.h"

namespace softstep {

/// What the steps of a run in a lane are made by.
enum class LaneRule {
  along_gradient,
  sign,
  adam,
  momentum,
  joint  ///< W and the decoder, both along their gradients
};

/// What runs must have in common to go side by side.
struct RunShape {
  const simd::Isa* isa;
  bool logistic;  ///< the loss: logistic, else exponential
  std::size_t n_samples, n_tokens, dim;
  bool is_whole;  ///< every sample has n_tokens
  LaneRule rule;
  bool operator==(const RunShape&) const = default;
};

template <class T>
const AttentionData<T>& attention_data_of(const Model<T>& model) {
  return dynamic_cast<const AttentionModel<T>&>(model).parts().data;
}

template <class T>
RunShape shape_of(const AttentionData<T>& data, LaneRule rule) {
  return {&data.isa,    data.loss.is_logistic(), data.batch.n_samples,
          data.longest, data.batch.dim,          data.total_tokens == data.batch.n_samples * data.longest,
          rule};
}

template <class T>
class LaneSamples {
 public:
  explicit LaneSamples(const RunShape& shape)
      : shape_(shape),
        for_a_step_(shape.is_whole && shape.rule != LaneRule::joint),
        kernels_(shape.isa->template kernels<T>()),
        width_(kernels_.vector_width),
        used_(shape.n_samples * width_),
        columns_(simd::round_up_to_lanes<T>(used_)) {
    const std::size_t d = shape.dim, n_tokens = shape.n_tokens;
    tokens_.assign(n_tokens * d * columns_, T(0));
    // A lane without a run has no tokens, or where none may miss one, tokens of no score.
    gaps_.assign(n_tokens * simd::round_up_to_lanes<T>(columns_),
                 for_a_step_ ? T(0) : std::numeric_limits<T>::quiet_NaN());
    weights_.assign(n_tokens * columns_, T(0));
    for (auto* rows : {&projected_, &rows_}) rows->assign(d * columns_, T(0));
    for (auto* field : {&optimal_, &pivot_, &noted_pivot_, &exponent_, &pivot_attention_, &mean_gap_, &rest_,
                        &ties_, &optimal_attention_, &largest_, &shifted_gap_})
      field->assign(columns_, T(0));
    for (auto* field : {&pivot_gap_, &optimal_score_, &unit_power_, &inverse_query_, &query_norm_,
                        &row_scale_, &row_factor_, &size_})
      field->assign(columns_, 0.0);
    gap_unit_.assign(columns_, 1.0);
    for (auto* field : {&top_, &sum_of_sizes_, &gap_, &gap_top_}) field->assign(width_, 0.0);
    slope_.assign(columns_, 1.0);
    slope_exponent_.assign(columns_, 0.0);
    work_.assign(2 * columns_, 0.0);
    wants_gap_.assign(width_, false);
    plain_gaps_.assign(n_tokens * columns_, 0.0);
  }

  const RunShape& shape() const { return shape_; }
  const simd::Kernels<T>& kernels() const { return kernels_; }
  /// Runs that go side by side.
  std::size_t width() const { return width_; }
  /// Of all samples of all runs, padded; where sample i of the run in a lane is.
  std::size_t columns() const { return columns_; }
  std::size_t column(std::size_t i, std::size_t lane) const { return i * width_ + lane; }
  /// dim x columns: V, to be set before attend(), and g.
  T* projected() { return projected_.data(); }
  const T* projected() const { return projected_.data(); }
  const T* rows() const { return rows_.data(); }

  /// Puts a run's data into a lane. `wants_gap`: its loss gap is asked for, measured from the optimal tokens.
  void take_in(std::size_t lane, const AttentionData<T>& data, const RowFactors<T>& factors, bool wants_gap) {
    wants_gap_[lane] = wants_gap;
    n_wanting_gap_ += wants_gap ? 1 : 0;
    take_in_tokens(lane, data);
    const Scoring<T>& scoring = *data.given_scoring();
    for (std::size_t i = 0; i < shape_.n_samples; ++i) {
      const std::size_t at = column(i, lane);
      for (std::size_t t = 0; t < shape_.n_tokens; ++t) {
        const bool is_there = t < data.batch.tokens_of(i);
        gaps_[gap_place(t, at)] = is_there ? scoring.gaps(i)[t] : std::numeric_limits<T>::quiet_NaN();
        plain_gaps_[t * columns_ + at] = is_there ? scoring.gap(i, t) : 0.0;
      }
      optimal_[at] = static_cast<T>(scoring.optimal(i));
      const typename RowFactors<T>::Constants row = factors.constants(i);
      gap_unit_[at] = row.gap_unit;
      optimal_score_[at] = row.optimal_score;
      unit_power_[at] = row.unit_power;
      inverse_query_[at] = row.inverse_query;
      const double gamma = row.optimal_score;
      slope_[at] = shape_.logistic ? 1.0 / (1.0 + std::exp(-std::fabs(gamma))) : 1.0;
      slope_exponent_[at] = shape_.logistic ? -std::fmax(gamma, 0.0) : -gamma;
    }
  }
  /// The lane is free.
  void leave(std::size_t lane) {
    n_wanting_gap_ -= wants_gap_[lane] ? 1 : 0;
    wants_gap_[lane] = false;
  }

  /// From V to g and what is said of the samples, of all runs.
  void attend() {
    kernels_.attention_lanes({.tokens = tokens_.data(),
                              .n_lanes = columns_,
                              .n_tokens = shape_.n_tokens,
                              .dim = shape_.dim,
                              .begin = 0,
                              .end = used_,
                              .projected = projected_.data(),
                              .score_gaps = gaps_.data(),
                              .optimal = for_a_step_ ? nullptr : optimal_.data(),
                              .gradient = rows_.data(),
                              .weights = weights_.data(),
                              .pivot = pivot_.data(),
                              .exponent = exponent_.data(),
                              .pivot_attention = pivot_attention_.data(),
                              .mean_gap = mean_gap_.data(),
                              .rest = rest_.data(),
                              .ties = ties_.data(),
                              .optimal_score = optimal_attention_.data(),
                              .largest = largest_.data(),
                              .shifted_gap = shifted_gap_.data(),
                              .attention = attention_.empty() ? nullptr : attention_.data()});
    note_pivots();
    kernels_.run_factors({.n = shape_.n_samples,
                          .logistic = shape_.logistic,
                          .exponent = exponent_.data(),
                          .shifted_gap = shifted_gap_.data(),
                          .largest = largest_.data(),
                          .pivot_gap = pivot_gap_.data(),
                          .gap_unit = gap_unit_.data(),
                          .optimal_score = optimal_score_.data(),
                          .unit_power = unit_power_.data(),
                          .inverse_query = inverse_query_.data(),
                          .query_norm = query_norm_.data(),
                          .row_scale = row_scale_.data(),
                          .row_factor = row_factor_.data(),
                          .top = top_.data(),
                          .sum_of_sizes = sum_of_sizes_.data(),
                          .size = size_.data()});
    kernels_.scale_lanes({.n_rows = shape_.dim,
                          .n_lanes = columns_,
                          .begin = 0,
                          .end = columns_,
                          .row_scale = row_scale_.data(),
                          .row_factor = row_factor_.data(),
                          .rows = rows_.data()});
  }
  /// The loss gaps of the runs that want them.
  void find_gaps() {
    if (n_wanting_gap_ == 0) return;
    kernels_.run_gaps({.n = shape_.n_samples,
                       .logistic = shape_.logistic,
                       .exponent = exponent_.data(),
                       .mean_gap = mean_gap_.data(),
                       .shifted_gap = shifted_gap_.data(),
                       .pivot_gap = pivot_gap_.data(),
                       .gap_unit = gap_unit_.data(),
                       .slope = slope_.data(),
                       .slope_exponent = slope_exponent_.data(),
                       .mantissa = gap_.data(),
                       .top = gap_top_.data(),
                       .work = work_.data()});
  }
  // What was found, by run: C without what the run adds to it, and at least sum_i |g_i| |z_i|.
  double top(std::size_t lane) const { return top_[lane]; }
  double sum_of_sizes(std::size_t lane) const { return sum_of_sizes_[lane]; }
  /// Of a run that wants it.
  Scaled gap(std::size_t lane) const { return {gap_[lane], gap_top_[lane]}; }
  /// Takes down what is said of a run's samples, for its losses. Where e^c mu is a normal number of T, mu is
  /// such that the product is that one, as the gradient has it (simd/kernels/run_gaps.h).
  void note(std::size_t lane, Outcomes<T>& out) const {
    for (std::size_t i = 0; i < shape_.n_samples; ++i) {
      const std::size_t at = column(i, lane);
      const T shifted = shifted_gap_[at];
      out.exponent[i] = static_cast<double>(exponent_[at]);
      out.mean_gap[i] = std::isnormal(shifted) ? static_cast<double>(shifted) / std::exp(out.exponent[i])
                                               : static_cast<double>(mean_gap_[at]);
      out.pivot_gap[i] = pivot_gap_[at];
    }
  }

 protected:
  // Puts a run's tokens into a lane.
  void take_in_tokens(std::size_t lane, const AttentionData<T>& data) {
    const std::size_t d = shape_.dim;
    for (std::size_t i = 0; i < shape_.n_samples; ++i) {
      const std::size_t at = column(i, lane);
      for (std::size_t t = 0; t < shape_.n_tokens; ++t) {
        const bool is_there = t < data.batch.tokens_of(i);
        const T* x = is_there ? data.batch.sample(i) + t * data.batch.row_stride() : nullptr;
        T* out = tokens_.data() + token_place(t, at);
        for (std::size_t j = 0; j < d; ++j) out[j * multiple] = is_there ? x[j] : T(0);
      }
      // The largest entry of a scaled row is in [1, 2) times its factor.
      query_norm_[at] = 2.0 * std::sqrt(static_cast<double>(d)) * data.query_norms[i];
      // Whatever the pivot is, it is looked up.
      noted_pivot_[at] = T(-1);
    }
  }
  // Where token t of the sample in a column is; entry j is j * multiple further.
  static constexpr std::size_t multiple = simd::lane_multiple<T>;
  std::size_t token_place(std::size_t t, std::size_t at) const {
    return (at / multiple * shape_.n_tokens + t) * shape_.dim * multiple + at % multiple;
  }
  // Where LanesArgs has the gap of token t of the sample in a column.
  std::size_t gap_place(std::size_t t, std::size_t at) const {
    return for_a_step_ ? (at / multiple * shape_.n_tokens + t) * multiple + at % multiple : t * columns_ + at;
  }
  // The gaps of the pivots in double; they rarely change, but where the decoder is trained.
  void note_pivots() {
    if (shape_.rule != LaneRule::joint &&
        std::memcmp(pivot_.data(), noted_pivot_.data(), used_ * sizeof(T)) == 0)
      return;
    for (std::size_t at = 0; at < used_; ++at) pivot_gap_[at] = plain_gaps_[pivot_of(at) * columns_ + at];
    noted_pivot_ = pivot_;
  }
  // What is found for a step alone tells the pivot by its gap.
  std::size_t pivot_of(std::size_t at) const {
    if (!for_a_step_) return static_cast<std::size_t>(pivot_[at]);
    std::size_t t = 0;
    while (t + 1 < shape_.n_tokens && !(gaps_[gap_place(t, at)] == pivot_[at])) ++t;
    return t;
  }

  const RunShape shape_;
  const bool for_a_step_;  // as LanesArgs says of `optimal`
  const simd::Kernels<T>& kernels_;
  const std::size_t width_, used_, columns_;
  LineArray<T> tokens_, gaps_, weights_;  // as in LanesArgs
  std::vector<double> plain_gaps_;        // of token t at t * columns + column
  LineArray<T> attention_;                // p_it likewise; empty: not wanted
  LineArray<T> projected_, rows_;
  LineArray<T> optimal_, pivot_, noted_pivot_, exponent_, pivot_attention_, mean_gap_, rest_, ties_,
      optimal_attention_, largest_, shifted_gap_;
  LineArray<double> pivot_gap_, gap_unit_, optimal_score_, unit_power_, inverse_query_, query_norm_,
      row_scale_, row_factor_, size_;
  LineArray<double> top_, sum_of_sizes_;
  LineArray<double> slope_, slope_exponent_, gap_, gap_top_, work_;
  std::vector<bool> wants_gap_;
  std::size_t n_wanting_gap_ = 0;
};

}  // namespace softstep
