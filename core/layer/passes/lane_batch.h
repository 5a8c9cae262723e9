#pragma once

// A batch with the sample index last: one sample to a lane of a vector, padded to whole cache lines.

#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/attention_data.h"
#include "simd/dispatch.h"

namespace softstep {

template <class T>
class LaneBatch {
 public:
  explicit LaneBatch(const AttentionData<T>& data)
      : n_lanes(simd::round_up_to_lanes<T>(data.batch.n_samples)) {
    constexpr std::size_t multiple = simd::lane_multiple<T>;
    const std::size_t d = data.batch.dim;
    const Scoring<T>& scoring = *data.given_scoring();
    tokens.assign(data.longest * d * n_lanes, T(0));
    gaps.assign(data.longest * n_lanes, std::numeric_limits<T>::quiet_NaN());
    optimal.assign(n_lanes, T(0));
    queries.assign(d * n_lanes, T(0));
    data::ReadAhead ahead(data.batch.tokens);
    for (std::size_t i = 0; i < data.batch.n_samples; ++i) {
      optimal[i] = static_cast<T>(scoring.optimal(i));
      for (std::size_t j = 0; j < d; ++j) queries[j * n_lanes + i] = data.queries[i * data.stride + j];
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t) {
        gaps[t * n_lanes + i] = scoring.gaps(i)[t];
        const T* x = data.batch.sample(i) + t * data.batch.row_stride();
        ahead.reading(x, d * sizeof(T));
        T* lane = tokens.data() + (i / multiple * data.longest + t) * d * multiple + i % multiple;
        for (std::size_t j = 0; j < d; ++j) lane[j * multiple] = x[j];
      }
    }
  }

  const std::size_t n_lanes;
  std::vector<T> tokens;   ///< as LanesArgs::tokens
  std::vector<T> gaps;     ///< as LanesArgs::score_gaps
  std::vector<T> optimal;  ///< opt_i as numbers
  std::vector<T> queries;  ///< Z^T, z_ij at j * n_lanes + i
};

}  // namespace softstep
