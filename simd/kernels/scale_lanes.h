#pragma once

// x_ji <- (x_ji a_i) b_i for all rows j: scale_row() with the sample index last. Factors come in double and
// are rounded to T.
//
// Shapes: ScaleLanesArgs (simd/dispatch.h). Traffic: reads n_rows (end - begin) elements and as many factors
// twice, writes the former. NaN and infinity as in the plain formula.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// `count` rows from x on.
template <std::size_t count, class T>
SOFTSTEP_INLINE T* scale_lane_rows(T* x, std::size_t n_lanes, Vec<T> a, Vec<T> b) {
  SOFTSTEP_UNROLL
  for (std::size_t j = 0; j < count; ++j, x += n_lanes) (Vec<T>::load(x) * a * b).store(x);
  return x;
}

template <class T>
void scale_lanes(const ScaleLanesArgs<T>& args) {
  // A copy, which no store can change.
  const ScaleLanesArgs<T> in = args;
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  for (std::size_t i = in.begin; i < in.end; i += w) {
    T scale[w], factor[w];
    for (std::size_t k = 0; k < w; ++k) {
      scale[k] = static_cast<T>(in.row_scale[i + k]);
      factor[k] = static_cast<T>(in.row_factor[i + k]);
    }
    const V a = V::load(scale), b = V::load(factor);
    T* x = in.rows + i;
    std::size_t j = 0;
    for (; j + 4 <= in.n_rows; j += 4) x = scale_lane_rows<4>(x, in.n_lanes, a, b);
    for (; j < in.n_rows; ++j) x = scale_lane_rows<1>(x, in.n_lanes, a, b);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
