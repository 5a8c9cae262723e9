#pragma once

// Sums over the lanes of several registers at once. A sum over lanes takes as many shuffles as additions.
// Folding two registers into one halves the work for both.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// The sums over the lanes of s[0 .. n-1], the first `count` of them to `out`.
template <std::size_t n, class T>
SOFTSTEP_INLINE void store_sums(const Vec<T> (&s)[n], T* out, std::size_t count) {
  constexpr std::size_t w = Vec<T>::width, group = n < w ? n : w;
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n; k += group) {
    if (k >= count) break;
    const Vec<T> sums = gather_sums<group>(s + k);
    if (count - k >= w)
      sums.store(out + k);
    else
      store_part_to_load(sums, out + k, count - k);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
