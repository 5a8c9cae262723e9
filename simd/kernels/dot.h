#pragma once

// sum_i x_i y_i; with x = y the squared norm. Blocks of 1024 terms are summed in T over four vectors of
// partial sums, the blocks in double.
//
// Error: |result - exact| <= ((h + 4 + log2(lanes)) u + (ceil(n / 1024) - 1) 2^-53) sum |x_i y_i| with
// h = ceil(min(n, 1024) / (4 lanes)) (tests/simd/test_vector_ops.cpp). In a block a term goes through at most
// h + 2 roundings of its chain (product_nt.h), as up to 3 vectors that are left over come after floor(n / (4
// lanes)) others; through 2 where the four chains are added and log2(lanes) where the lanes are, by pairs.
// The first block is added to 0. A block of float32 overflows where its squares do: scale before.
//
// Traffic: reads 2 n elements. x and y may be the same array.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE T dot_block(std::size_t n, const T* x, const T* y) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  V s0 = V::all(0), s1 = s0, s2 = s0, s3 = s0;
  std::size_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    s0 = fma(V::load(x + i), V::load(y + i), s0);
    s1 = fma(V::load(x + i + w), V::load(y + i + w), s1);
    s2 = fma(V::load(x + i + 2 * w), V::load(y + i + 2 * w), s2);
    s3 = fma(V::load(x + i + 3 * w), V::load(y + i + 3 * w), s3);
  }
  for (; i + w <= n; i += w) s0 = fma(V::load(x + i), V::load(y + i), s0);
  if (i < n) s1 = fma(load_part(x + i, n - i), load_part(y + i, n - i), s1);
  return sum((s0 + s1) + (s2 + s3));
}

template <class T>
double dot(std::size_t n, const T* x, const T* y) {
  constexpr std::size_t block = 1024;
  double total = 0.0;
  for (std::size_t i = 0; i < n; i += block)
    total += static_cast<double>(dot_block(n - i < block ? n - i : block, x + i, y + i));
  return total;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
