#include "core/layer/passes/lane_pass.h"

#include <algorithm>
#include <limits>

#include "core/layer/sharing.h"

namespace softstep {

template <class T>
LanePass<T>::LanePass(const AttentionData<T>& data, const T* projected, T* rows)
    : AttentionPass<T>(data, *data.given_scoring()),
      lanes_(data.lanes()),
      projected_(projected),
      rows_(rows),
      weights_(data.longest * lanes_.n_lanes, T(0)) {
  for (auto* field :
       {&pivot_, &exponent_, &pivot_attention_, &mean_gap_, &rest_, &ties_, &optimal_score_, &largest_})
    field->assign(lanes_.n_lanes, T(0));
}

template <class T>
void LanePass<T>::attend(const Team& team, const PassRows&, bool with_rows) {
  const AttentionData<T>& data = this->data_;
  const auto [begin, end_of_lanes] = share_of_lanes<T>(team, lanes_.n_lanes);
  // The last vectors, of padding alone, are left as they are: zero.
  const std::size_t end = std::min(end_of_lanes, data.batch.n_samples);
  if (begin < end)
    data.kernels.attention_lanes({.tokens = lanes_.tokens.data(),
                                  .n_lanes = lanes_.n_lanes,
                                  .n_tokens = data.longest,
                                  .dim = data.batch.dim,
                                  .begin = begin,
                                  .end = end,
                                  .projected = projected_,
                                  .score_gaps = lanes_.gaps.data(),
                                  .optimal = lanes_.optimal.data(),
                                  .gradient = with_rows ? rows_ : nullptr,
                                  .weights = weights_.data(),
                                  .pivot = pivot_.data(),
                                  .exponent = exponent_.data(),
                                  .pivot_attention = pivot_attention_.data(),
                                  .mean_gap = mean_gap_.data(),
                                  .rest = rest_.data(),
                                  .ties = ties_.data(),
                                  .optimal_score = optimal_score_.data(),
                                  .largest = largest_.data()});
  team.wait();
  if (team.leads()) note(with_rows);
}

template <class T>
void LanePass<T>::note(bool with_rows) {
  const std::size_t n = this->data_.batch.n_samples;
  Outcomes<T>& out = this->outcomes_;
  // Field by field, so that the loops are ones of vectors.
  constexpr auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  for (std::size_t i = 0; i < n; ++i) out.exponent[i] = static_cast<double>(exponent_[i]);
  for (std::size_t i = 0; i < n; ++i) out.mean_gap[i] = static_cast<double>(mean_gap_[i]);
  for (std::size_t i = 0; i < n; ++i)
    out.pivot_gap[i] = this->scoring_.gap(i, static_cast<std::size_t>(pivot_[i]));
  for (std::size_t i = 0; this->scoring_.has_far_gaps() && i < n; ++i)
    if (is_far(this->scoring_.gap_power(i)))
      out.pivot_gap_in_units[i] = this->scoring_.gap_in_units(i, static_cast<std::size_t>(pivot_[i]));
  if (!with_rows) return;
  for (std::size_t i = 0; i < n; ++i) {
    const auto size = static_cast<double>(largest_[i]);
    out.largest[i] = size > 0.0 && size < smallest ? smallest : size;
  }
}

template <class T>
simd::AttentionStats<T> LanePass<T>::stats(std::size_t row) const {
  return {.pivot = static_cast<std::size_t>(pivot_[row]),
          .exponent = exponent_[row],
          .pivot_attention = pivot_attention_[row],
          .mean_gap = mean_gap_[row],
          .rest = rest_[row],
          .ties = ties_[row],
          .optimal_score = optimal_score_[row],
          .largest = largest_[row]};
}

template class LanePass<float>;
template class LanePass<double>;

}  // namespace softstep
