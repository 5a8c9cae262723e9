#pragma once

// Registers of 128 bits of the x86 rows: the whole vector of SSE2, and what wider ones come down to.

#include <emmintrin.h>

#include "simd/rows/base.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

SOFTSTEP_INLINE float maximum_of(__m128 x) {
  const __m128 pair = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
SOFTSTEP_INLINE double maximum_of(__m128d x) { return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x))); }

// The first n lanes, n < 4 and n < 2.
SOFTSTEP_INLINE void store_low(__m128 x, float* p, std::size_t n) {
  if (n >= 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), x);
    x = _mm_movehl_ps(x, x);
    p += 2;
  }
  if (n % 2 != 0) _mm_store_ss(p, x);
}
SOFTSTEP_INLINE void store_low(__m128d x, double* p, std::size_t n) {
  if (n != 0) _mm_store_sd(p, x);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
