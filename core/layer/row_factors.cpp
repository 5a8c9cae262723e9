#include "core/layer/row_factors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/layer/mantissa.h"
#include "core/layer/row_terms.h"
#include "core/layer/sharing.h"
#include "core/ranks/in_order.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The first that is not 0, of this rank and those after it.
double first_of_ranks(Ranks* ranks, double mine) {
  for (const double x : gathered(ranks, mine))
    if (x > 0.0) return x;
  return mine;
}

// The largest entry of the first token that has one; 0 where all are zero.
template <class T>
double first_token_size(const AttentionData<T>& data) {
  data::TokenRows<T> rows = data.rows();
  for (std::size_t i = 0; i < data.batch.n_samples; ++i)
    for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t) {
      const auto largest = static_cast<double>(largest_of(rows.token(i, t), data.batch.dim));
      if (largest > 0.0) return largest;
    }
  return 0.0;
}

}  // namespace

template <class T>
RowFactors<T>::RowFactors(const AttentionData<T>& data) : data_(data) {
  // The factors of what is no row, up to whole vectors, are never anything but 0.
  const std::size_t padded = simd::round_up_to_lanes<T>(data.n_rows());
  for (auto* values :
       {&optimal_score_, &unit_power_, &inverse_factor_, &row_scale_, &row_factor_, &size_, &target_})
    values->assign(padded, 0.0);
  gap_unit_.assign(padded, 1.0);
  const double largest = first_of_ranks(data.ranks, first_token_size(data));
  if (largest > 0.0) token_power_ = unit_power<T>(largest);
}

// The powers of the first gaps, the first factor and the first token that have one. Data times a power of two
// have the same unit_power_, to the bit, and the other multiples of log 2 are added to C once, in the end.
template <class T>
int RowFactors<T>::common_power_of(SampleSet samples, const Scoring<T>& scoring,
                                   const double* largest_factor) const {
  bool has_gap = false, has_factor = false;
  int gap_power = 0, factor_power = 0;
  for (std::size_t row = 0; row < n_rows_ && !(has_gap && has_factor); ++row) {
    const std::size_t i = samples[row];
    if (!has_factor && largest_factor[row] > 0.0) {
      has_factor = true;
      factor_power = unit_power<T>(largest_factor[row]);
    }
    if (has_gap) continue;
    const T* gaps = scoring.gaps(i);
    has_gap = std::any_of(gaps, gaps + data_.batch.tokens_of(i), [](T gap) { return gap > T(0); });
    if (has_gap) gap_power = scoring.gap_power(i);
  }
  if (are_several(data_.ranks)) {
    struct Found {
      int has_gap, gap_power, has_factor, factor_power;
    };
    const std::vector<Found> all = gathered(data_.ranks, Found{has_gap, gap_power, has_factor, factor_power});
    has_gap = has_factor = false;
    gap_power = factor_power = 0;
    for (const Found& found : all) {
      if (!has_gap && found.has_gap != 0) gap_power = found.gap_power;
      if (!has_factor && found.has_factor != 0) factor_power = found.factor_power;
      has_gap = has_gap || found.has_gap != 0;
      has_factor = has_factor || found.has_factor != 0;
    }
  }
  return token_power_ + gap_power + factor_power;
}

template <class T>
void RowFactors<T>::set_rows(const PassRows& rows, const Scoring<T>& scoring, const double* largest_factor,
                             const int* powers) {
  n_rows_ = rows.size();
  rows_ = &rows;
  const SampleSet samples = rows.by_row();
  scoring_ = &scoring;
  common_power_ = common_power_of(samples, scoring, largest_factor);
  if (powers != nullptr) query_norms_ = data_.query_norms;
  // So that 2^-power / n, times as much as one row may be smaller than another and count, is a normal number.
  const auto n_of_all = static_cast<double>(rows.n_samples_of_all());
  const int most =
      std::numeric_limits<T>::max_exponent - 3 - std::numeric_limits<T>::digits - power_of(n_of_all);
  for (std::size_t row = 0; row < n_rows_; ++row) {
    const std::size_t i = samples[row];
    optimal_score_[row] = scoring.optimal_score(i);
    target_[row] = data_.batch.target(i);
    gap_unit_[row] = scoring.gap_unit(i);
    const double factor = largest_factor[row];
    const int power = std::min(unit_power<T>(factor), most);
    unit_power_[row] =
        factor == 0.0 ? -infinity : scoring.gap_power(i) + power - common_power_ + factor * 0.0;
    const int divided = powers == nullptr ? 0 : powers[row];
    inverse_factor_[row] = std::ldexp(1.0 / n_of_all, divided - power);
    if (powers != nullptr) query_norms_[row] = std::ldexp(query_norms_[row], -divided);
  }
}

template <class T>
double RowFactors<T>::set(const Outcomes<T>& outcomes, const double* largest) {
  if (!rows_->are_samples()) return set_pooled(outcomes, largest);
  if (!data_.loss.has_kernel())
    return set_from_slopes(outcomes, largest, [&](std::size_t row) {
      return terms_of(outcomes, row, *scoring_, rows_->samples()[row]).slope(data_.loss, target_[row]);
    });
  if (are_several(data_.ranks)) return set_among_ranks(outcomes, largest);
  largest_in_step(data_.ranks, 0.0);
  // Whole vectors where what follows the rows is known to be no row.
  const std::size_t n = n_rows_ == data_.n_rows() ? simd::round_up_to_lanes<double>(n_rows_) : n_rows_;
  const double top = data_.isa.f64->row_factors({.n = n,
                                                 .logistic = data_.loss.is_logistic(),
                                                 .exponent = outcomes.exponent.data(),
                                                 .mean_gap = outcomes.mean_gap.data(),
                                                 .pivot_gap = outcomes.pivot_gap.data(),
                                                 .largest = largest,
                                                 .gap_unit = gap_unit_.data(),
                                                 .optimal_score = optimal_score_.data(),
                                                 .unit_power = unit_power_.data(),
                                                 .inverse_query = inverse_factor_.data(),
                                                 .row_scale = row_scale_.data(),
                                                 .row_factor = row_factor_.data(),
                                                 .size = size_.data()});
  return top + common_exponent();
}

// The same numbers where C may be another rank's. A row alone is its own largest, and leaves the kernel with
// its size and its slope; then the largest of all ranks is known, and e^(size - C) comes of the function that
// the kernel has it from.
template <class T>
double RowFactors<T>::set_among_ranks(const Outcomes<T>& outcomes, const double* largest) {
  double top = -infinity, poison = 0.0;
  for (std::size_t row = 0; row < n_rows_; ++row) {
    data_.isa.f64->row_factors({.n = 1,
                                .logistic = data_.loss.is_logistic(),
                                .exponent = outcomes.exponent.data() + row,
                                .mean_gap = outcomes.mean_gap.data() + row,
                                .pivot_gap = outcomes.pivot_gap.data() + row,
                                .largest = largest + row,
                                .gap_unit = gap_unit_.data() + row,
                                .optimal_score = optimal_score_.data() + row,
                                .unit_power = unit_power_.data() + row,
                                .inverse_query = inverse_factor_.data() + row,
                                .row_scale = row_scale_.data() + row,
                                .row_factor = row_factor_.data() + row,
                                .size = size_.data() + row});
    top = std::max(top, size_[row]);
    if (std::isnan(size_[row])) poison = size_[row];
  }
  top = largest_in_step(data_.ranks, top + poison);
  if (!(top > -infinity)) return top;
  for (std::size_t row = 0; row < n_rows_; ++row) size_[row] -= top;
  data_.isa.f64->exp_nonpositive(size_.data(), size_.data(), n_rows_);
  for (std::size_t row = 0; row < n_rows_; ++row) row_factor_[row] *= size_[row];
  return top + common_exponent();
}

// The same with slopes of any loss: of either sign, and of any size beside their exponent.
template <class T>
template <class SlopeOf>
double RowFactors<T>::set_from_slopes(const Outcomes<T>& outcomes, const double* largest, SlopeOf slope_of) {
  double top = -infinity, poison = 0.0;
  for (std::size_t row = 0; row < n_rows_; ++row) {
    const Scaled slope = slope_of(row);
    const int power = unit_power<T>(largest[row]);
    double& size = size_[row] = -infinity;
    if (largest[row] != 0.0 && slope.mantissa != 0.0)
      size = outcomes.exponent[row] + slope.exponent + std::log(std::fabs(slope.mantissa)) +
             largest[row] * 0.0 + (unit_power_[row] + power) * std::log(2.0);
    row_scale_[row] = std::ldexp(1.0, -power);
    row_factor_[row] = -std::copysign(inverse_factor_[row], slope.mantissa);
    top = std::max(top, size);
    if (std::isnan(size)) poison = size;
  }
  top = largest_in_step(data_.ranks, top + poison);
  if (!(top > -infinity)) return top;
  for (std::size_t row = 0; row < n_rows_; ++row) row_factor_[row] *= std::exp(size_[row] - top);
  return top + common_exponent();
}

// The slope of a sample goes with all its rows, times the weight of each.
template <class T>
double RowFactors<T>::set_pooled(const Outcomes<T>& outcomes, const double* largest) {
  std::vector<Scaled>& slopes = pooled_slopes_;
  slopes.resize(n_rows_);
  for (std::size_t k = 0, row = 0; k < rows_->n_samples(); ++k) {
    const Scaled slope = outcomes.pooled[k].slope(data_.loss, target_[row]);
    const std::size_t in_batch = rows_->first_of_batch(k),
                      end = row + rows_->of_batch().of(rows_->samples()[k]);
    for (std::size_t q = 0; row < end; ++row, ++q)
      slopes[row] = {slope.mantissa * rows_->of_batch().weight(in_batch + q), slope.exponent};
  }
  return set_from_slopes(outcomes, largest, [&](std::size_t row) { return slopes[row]; });
}

template <class T>
void RowFactors<T>::scale_rows(const Team& team, T* rows, std::size_t n_cols, std::size_t stride) const {
  const auto [begin, end] = rows_->share(team);
  for (std::size_t row = begin; row < end; ++row)
    data_.kernels.scale_row(n_cols, static_cast<T>(row_scale_[row]), static_cast<T>(row_factor_[row]),
                            rows + row * stride);
  team.wait();
}

template <class T>
void RowFactors<T>::scale_lanes(const Team& team, T* rows, std::size_t n_lanes) const {
  const auto [begin, end] = share_of_lanes<T>(team, n_lanes);
  data_.kernels.scale_lanes({.n_rows = data_.batch.dim,
                             .n_lanes = n_lanes,
                             .begin = begin,
                             .end = end,
                             .row_scale = row_scale_.data(),
                             .row_factor = row_factor_.data(),
                             .rows = rows});
  team.wait();
}

template <class T>
void RowFactors<T>::scale_weights(const Team& team, T* weights, const int* token_powers) const {
  const Scoring<T>& scoring = *data_.given_scoring();
  const auto [begin, end] = team.share(data_.batch.n_samples);
  for (std::size_t i = begin; i < end; ++i) {
    // Not by the kernel: a few numbers, which are read again at once.
    const T scale = static_cast<T>(row_scale_[i]), factor = static_cast<T>(row_factor_[i]);
    if (token_powers == nullptr)
      for (std::size_t k = scoring.first(i); k < scoring.first(i + 1); ++k)
        weights[k] = weights[k] * scale * factor;
    else
      for (std::size_t k = scoring.first(i); k < scoring.first(i + 1); ++k)
        weights[k] = weights[k] * static_cast<T>(std::ldexp(row_scale_[i], token_powers[k])) * factor;
  }
  team.wait();
}

// The largest entry of a scaled row is in [1, 2) times its factor.
template <class T>
double RowFactors<T>::sum_of_sizes() const {
  const std::vector<double>& norms = query_norms_.empty() ? data_.query_norms : query_norms_;
  double sum = 0.0;
  for (std::size_t i = 0; i < n_rows_; ++i) sum += std::fabs(row_factor_[i]) * norms[i];
  return 2.0 * std::sqrt(static_cast<double>(data_.batch.dim)) * sum;
}

template class RowFactors<float>;
template class RowFactors<double>;

}  // namespace softstep
