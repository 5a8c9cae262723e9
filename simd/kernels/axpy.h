#pragma once

// y_i <- y_i + a x_i, the weight update. One rounding per element where the instruction set has a fused
// multiply-add, else two. The bits do not depend on how a caller splits the arrays. x and y must not overlap.
// Traffic: reads 2 n, writes n elements. NaN and infinity as in the plain formula.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void axpy(std::size_t n, T a, const T* x, T* y) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V va = V::all(a);
  std::size_t i = 0;
  for (; i + w <= n; i += w) fma(va, V::load(x + i), V::load(y + i)).store(y + i);
  if (i < n) store_part(fma(va, load_part(x + i, n - i), load_part(y + i, n - i)), y + i, n - i);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
