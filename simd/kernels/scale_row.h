#pragma once

// x_i <- (x_i a) b, in that order: a brings the largest entry near 1, so that x_i a neither overflows nor
// underflows before b is applied. Two roundings per element. Traffic: reads n, writes n elements. NaN and
// infinity as in the plain formula.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void scale_row(std::size_t n, T a, T b, T* x) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V va = V::all(a), vb = V::all(b);
  std::size_t i = 0;
  for (; i + w <= n; i += w) (V::load(x + i) * va * vb).store(x + i);
  if (i < n) store_part(load_part(x + i, n - i) * va * vb, x + i, n - i);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
