// The part of Layer that keeps the batch with the sample index last.

#include <algorithm>
#include <limits>

#include "core/objective/layer.h"
#include "core/threads/team.h"

namespace softstep {

template <class T>
void Layer<T>::pack_lanes() {
  if (n_lanes_ != 0) return;
  constexpr std::size_t multiple = simd::lane_multiple<T>;
  const std::size_t n = batch.n_samples, d = batch.dim;
  n_lanes_ = simd::round_up_to_lanes<T>(n);
  lane_tokens_.assign(longest_ * d * n_lanes_, T(0));
  lane_gaps_.assign(longest_ * n_lanes_, std::numeric_limits<T>::quiet_NaN());
  lane_optimal_.assign(n_lanes_, T(0));
  lane_weights_.assign(longest_ * n_lanes_, T(0));
  lane_stats_.assign(8 * n_lanes_, T(0));
  for (std::size_t i = 0; i < n; ++i) {
    lane_optimal_[i] = static_cast<T>(scores.optimal[i]);
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      lane_gaps_[t * n_lanes_ + i] = gaps_[scores.first[i] + t];
      const T* x = batch.sample(i) + t * batch.row_stride();
      T* lane = lane_tokens_.data() + (i / multiple * longest_ + t) * d * multiple + i % multiple;
      for (std::size_t j = 0; j < d; ++j) lane[j * multiple] = x[j];
    }
  }
}

template <class T>
Team::Range Layer<T>::share_of_lanes(const Team& team) const {
  return team.share(n_lanes_, simd::lane_multiple<T>);
}

template <class T>
void Layer<T>::attend_lanes(const Team& team, const T* projected, T* rows) {
  T* stats = lane_stats_.data();
  const auto [begin, end_of_lanes] = share_of_lanes(team);
  // The last vectors, of padding alone, are left as they are: zero.
  const std::size_t end = std::min(end_of_lanes, batch.n_samples);
  if (begin < end)
    kernels.attention_lanes({lane_tokens_.data(), n_lanes_, longest_, batch.dim, begin, end, projected,
                             lane_gaps_.data(), lane_optimal_.data(), rows, lane_weights_.data(), stats,
                             stats + n_lanes_, stats + 2 * n_lanes_, stats + 3 * n_lanes_,
                             stats + 4 * n_lanes_, stats + 5 * n_lanes_, stats + 6 * n_lanes_,
                             stats + 7 * n_lanes_});
  team.wait();
  if (team.leads()) note_lanes(rows != nullptr);
}

template <class T>
void Layer<T>::note_lanes(bool with_rows) {
  const T* stats = lane_stats_.data();
  lanes_are_newer_ = true;
  // Field by field, so that the loops are ones of vectors.
  constexpr auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  const T *pivot = stats, *exponent = stats + n_lanes_, *mean_gap = stats + 3 * n_lanes_,
          *largest = stats + 7 * n_lanes_;
  for (std::size_t i = 0; i < batch.n_samples; ++i) exponent_[i] = static_cast<double>(exponent[i]);
  for (std::size_t i = 0; i < batch.n_samples; ++i) mean_gap_[i] = static_cast<double>(mean_gap[i]);
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    pivot_gap_[i] = scores.gaps[scores.first[i] + static_cast<std::size_t>(pivot[i])];
  if (!with_rows) return;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const auto size = static_cast<double>(largest[i]);
    largest_[i] = size > 0.0 && size < smallest ? smallest : size;
  }
}

template <class T>
void Layer<T>::read_lanes() {
  if (!lanes_are_newer_) return;
  lanes_are_newer_ = false;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const auto field = [&](std::size_t k) { return lane_stats_[k * n_lanes_ + i]; };
    stats_[i] = {static_cast<std::size_t>(field(0)),
                 field(1),
                 field(2),
                 field(3),
                 field(4),
                 field(5),
                 field(6),
                 field(7)};
  }
}

template <class T>
void Layer<T>::scale_lanes(const Team& team, T* rows) const {
  const auto [begin, end] = share_of_lanes(team);
  kernels.scale_lanes({batch.dim, n_lanes_, begin, end, row_scale_.data(), row_factor_.data(), rows});
  team.wait();
}

template void Layer<float>::pack_lanes();
template void Layer<double>::pack_lanes();
template Team::Range Layer<float>::share_of_lanes(const Team&) const;
template void Layer<float>::attend_lanes(const Team&, const float*, float*);
template void Layer<float>::note_lanes(bool);
template Team::Range Layer<double>::share_of_lanes(const Team&) const;
template void Layer<double>::attend_lanes(const Team&, const double*, double*);
template void Layer<double>::note_lanes(bool);
template void Layer<float>::read_lanes();
template void Layer<double>::read_lanes();
template void Layer<float>::scale_lanes(const Team&, float*) const;
template void Layer<double>::scale_lanes(const Team&, double*) const;

}  // namespace softstep
