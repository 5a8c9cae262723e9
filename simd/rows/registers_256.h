#pragma once

// Registers of 256 bits: the whole vector of AVX2, the halves of AVX-512.

#include <immintrin.h>

#include "simd/rows/registers_128.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// (x0 + x4 + x1 + x5) + (x2 + x6 + x3 + x7), pairs first; half as many with double.
SOFTSTEP_INLINE float sum_of(__m256 x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_hadd_ps(s, s);
  return _mm_cvtss_f32(_mm_hadd_ps(s, s));
}
SOFTSTEP_INLINE double sum_of(__m256d x) {
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
  return _mm_cvtsd_f64(_mm_hadd_pd(s, s));
}

// The first n lanes, n < 8 and n < 4.
SOFTSTEP_INLINE void store_low(__m256 x, float* p, std::size_t n) {
  if (n < 4) return store_low(_mm256_castps256_ps128(x), p, n);
  _mm_storeu_ps(p, _mm256_castps256_ps128(x));
  store_low(_mm256_extractf128_ps(x, 1), p + 4, n - 4);
}
SOFTSTEP_INLINE void store_low(__m256d x, double* p, std::size_t n) {
  if (n < 2) return store_low(_mm256_castpd256_pd128(x), p, n);
  _mm_storeu_pd(p, _mm256_castpd256_pd128(x));
  store_low(_mm256_extractf128_pd(x, 1), p + 2, n - 2);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
