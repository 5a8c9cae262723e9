// The part of Layer that keeps the batch with the sample index last.

#include <algorithm>
#include <limits>

#include "core/objective/blocked.h"
#include "core/objective/layer.h"

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
  lane_factors_.assign(2 * n_lanes_, T(0));
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
void Layer<T>::attend_lanes(const T* projected, T* rows) {
  const double flops = static_cast<double>(longest_ * n_lanes_) * static_cast<double>(batch.dim);
  const auto threads = static_cast<std::size_t>(threads_for(flops));
  constexpr std::size_t multiple = simd::lane_multiple<T>;
  const std::size_t lines = n_lanes_ / multiple;
  T* stats = lane_stats_.data();
  for_each_index(threads, static_cast<int>(threads), [&](std::size_t band, std::size_t) {
    const std::size_t begin = lines * band / threads * multiple;
    // The last vectors, of padding alone, are left as they are: zero.
    const std::size_t end = std::min(lines * (band + 1) / threads * multiple, batch.n_samples);
    kernels.attention_lanes({lane_tokens_.data(), n_lanes_, longest_, batch.dim, begin, end, projected,
                             lane_gaps_.data(), lane_optimal_.data(), rows, lane_weights_.data(), stats,
                             stats + n_lanes_, stats + 2 * n_lanes_, stats + 3 * n_lanes_,
                             stats + 4 * n_lanes_, stats + 5 * n_lanes_, stats + 6 * n_lanes_,
                             stats + 7 * n_lanes_});
  });
  lanes_are_newer_ = true;
  // Field by field, so that the loops are ones of vectors.
  constexpr auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  const T *pivot = stats, *exponent = stats + n_lanes_, *mean_gap = stats + 3 * n_lanes_,
          *largest = stats + 7 * n_lanes_;
  for (std::size_t i = 0; i < batch.n_samples; ++i) exponent_[i] = static_cast<double>(exponent[i]);
  for (std::size_t i = 0; i < batch.n_samples; ++i) mean_gap_[i] = static_cast<double>(mean_gap[i]);
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    pivot_gap_[i] = scores.gaps[scores.first[i] + static_cast<std::size_t>(pivot[i])];
  if (rows == nullptr) return;
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
void Layer<T>::scale_lanes(T* rows) {
  // As numbers of T in the work space, so that the loop over lanes is one of vectors.
  T* scale = lane_factors_.data();
  T* factor = scale + n_lanes_;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    scale[i] = static_cast<T>(row_scale_[i]);
    factor[i] = static_cast<T>(row_factor_[i]);
  }
  for (std::size_t j = 0; j < batch.dim; ++j)
    for (std::size_t i = 0; i < n_lanes_; ++i)
      rows[j * n_lanes_ + i] = rows[j * n_lanes_ + i] * scale[i] * factor[i];
}

template void Layer<float>::pack_lanes();
template void Layer<double>::pack_lanes();
template void Layer<float>::attend_lanes(const float*, float*);
template void Layer<double>::attend_lanes(const double*, double*);
template void Layer<float>::read_lanes();
template void Layer<double>::read_lanes();
template void Layer<float>::scale_lanes(float*);
template void Layer<double>::scale_lanes(double*);

}  // namespace softstep
