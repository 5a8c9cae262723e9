#include "core/layer/row_factors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/layer/row_terms.h"
#include "core/layer/sharing.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

template <class T>
RowFactors<T>::RowFactors(const AttentionData<T>& data) : data_(data) {
  // The factors of what is no row, up to whole vectors, are never anything but 0.
  const std::size_t padded = simd::round_up_to_lanes<T>(data.batch.n_samples);
  for (auto* values :
       {&optimal_score_, &log_unit_, &inverse_factor_, &row_scale_, &row_factor_, &size_, &target_})
    values->assign(padded, 0.0);
  gap_unit_.assign(padded, 1.0);
}

template <class T>
void RowFactors<T>::set_rows(SampleSet samples, const Scoring<T>& scoring, const double* largest_factor) {
  n_rows_ = samples.size(data_.batch.n_samples);
  for (std::size_t row = 0; row < n_rows_; ++row) {
    const std::size_t i = samples[row];
    optimal_score_[row] = scoring.optimal_score(i);
    target_[row] = data_.batch.target(i);
    gap_unit_[row] = scoring.gap_unit(i);
    const double factor = largest_factor[row];
    const int power = unit_power<T>(factor);
    log_unit_[row] =
        factor == 0.0 ? -infinity : std::log(gap_unit_[row]) + power * std::log(2.0) + factor * 0.0;
    inverse_factor_[row] = std::ldexp(1.0 / static_cast<double>(n_rows_), -power);
  }
}

template <class T>
double RowFactors<T>::set(const Outcomes<T>& outcomes, const double* largest) {
  if (!data_.loss.has_kernel()) return set_from_loss(outcomes, largest);
  // Whole vectors where what follows the rows is known to be no row.
  const std::size_t n = n_rows_ == data_.batch.n_samples ? simd::round_up_to_lanes<double>(n_rows_) : n_rows_;
  return data_.isa.f64->row_factors({.n = n,
                                     .logistic = data_.loss.is_logistic(),
                                     .exponent = outcomes.exponent.data(),
                                     .mean_gap = outcomes.mean_gap.data(),
                                     .pivot_gap = outcomes.pivot_gap.data(),
                                     .largest = largest,
                                     .gap_unit = gap_unit_.data(),
                                     .optimal_score = optimal_score_.data(),
                                     .log_unit = log_unit_.data(),
                                     .inverse_query = inverse_factor_.data(),
                                     .row_scale = row_scale_.data(),
                                     .row_factor = row_factor_.data(),
                                     .size = size_.data()});
}

// The same with slopes of any loss: of either sign, and of any size beside their exponent.
template <class T>
double RowFactors<T>::set_from_loss(const Outcomes<T>& outcomes, const double* largest) {
  double top = -infinity, poison = 0.0;
  for (std::size_t row = 0; row < n_rows_; ++row) {
    const RowTerms terms = terms_of(outcomes, row, gap_unit_[row], optimal_score_[row]);
    const Scaled slope = data_.loss.slope(terms.margin(), target_[row]);
    const int power = unit_power<T>(largest[row]);
    double size = -infinity;
    if (largest[row] != 0.0 && slope.mantissa != 0.0)
      size = terms.exponent + slope.exponent + std::log(std::fabs(slope.mantissa)) + log_unit_[row] +
             power * std::log(2.0) + largest[row] * 0.0;
    size_[row] = size;
    row_scale_[row] = std::ldexp(1.0, -power);
    row_factor_[row] = -std::copysign(inverse_factor_[row], slope.mantissa);
    top = std::max(top, size);
    if (std::isnan(size)) poison = size;
  }
  top += poison;
  if (!(top > -infinity)) return top;
  for (std::size_t row = 0; row < n_rows_; ++row) row_factor_[row] *= std::exp(size_[row] - top);
  return top;
}

template <class T>
void RowFactors<T>::scale_rows(const Team& team, T* rows, std::size_t n_cols, std::size_t stride) const {
  const auto [begin, end] = share_of_samples(team, n_rows_);
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
void RowFactors<T>::scale_weights(const Team& team, T* weights) const {
  const Scoring<T>& scoring = *data_.given_scoring();
  const auto [begin, end] = team.share(data_.batch.n_samples);
  for (std::size_t i = begin; i < end; ++i) {
    // Not by the kernel: a few numbers, which are read again at once.
    const T scale = static_cast<T>(row_scale_[i]), factor = static_cast<T>(row_factor_[i]);
    for (std::size_t k = scoring.first(i); k < scoring.first(i + 1); ++k)
      weights[k] = weights[k] * scale * factor;
  }
  team.wait();
}

// The largest entry of a scaled row is in [1, 2) times its factor.
template <class T>
double RowFactors<T>::sum_of_sizes() const {
  double sum = 0.0;
  for (std::size_t i = 0; i < n_rows_; ++i) sum += std::fabs(row_factor_[i]) * data_.query_norms[i];
  return 2.0 * std::sqrt(static_cast<double>(data_.batch.dim)) * sum;
}

template class RowFactors<float>;
template class RowFactors<double>;

}  // namespace softstep
