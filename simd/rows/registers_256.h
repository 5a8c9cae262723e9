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

// Squares of a whole register: pairs of elements, then of pairs, then of halves.
template <class T>
constexpr std::size_t transpose_size = 32 / sizeof(T);
SOFTSTEP_INLINE void transpose_square(const float* in, std::ptrdiff_t stride, float* out, std::size_t ld) {
  __m256 x[8], pairs[8], fours[8];
  SOFTSTEP_UNROLL
  for (int r = 0; r < 8; ++r) x[r] = _mm256_loadu_ps(in + r * stride);
  SOFTSTEP_UNROLL
  for (int r = 0; r < 8; r += 2) {
    pairs[r] = _mm256_unpacklo_ps(x[r], x[r + 1]);
    pairs[r + 1] = _mm256_unpackhi_ps(x[r], x[r + 1]);
  }
  SOFTSTEP_UNROLL
  for (int r = 0; r < 8; r += 4) {
    SOFTSTEP_UNROLL
    for (int k = 0; k < 2; ++k) {
      fours[r + 2 * k] = _mm256_shuffle_ps(pairs[r + k], pairs[r + k + 2], 0x44);
      fours[r + 2 * k + 1] = _mm256_shuffle_ps(pairs[r + k], pairs[r + k + 2], 0xee);
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c < 4; ++c) {
    _mm256_storeu_ps(out + c * ld, _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x20));
    _mm256_storeu_ps(out + (c + 4) * ld, _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x31));
  }
}
SOFTSTEP_INLINE void transpose_square(const double* in, std::ptrdiff_t stride, double* out, std::size_t ld) {
  const __m256d a = _mm256_loadu_pd(in), b = _mm256_loadu_pd(in + stride),
                c = _mm256_loadu_pd(in + 2 * stride), d = _mm256_loadu_pd(in + 3 * stride);
  const __m256d low = _mm256_unpacklo_pd(a, b), high = _mm256_unpackhi_pd(a, b),
                low2 = _mm256_unpacklo_pd(c, d), high2 = _mm256_unpackhi_pd(c, d);
  _mm256_storeu_pd(out, _mm256_permute2f128_pd(low, low2, 0x20));
  _mm256_storeu_pd(out + ld, _mm256_permute2f128_pd(high, high2, 0x20));
  _mm256_storeu_pd(out + 2 * ld, _mm256_permute2f128_pd(low, low2, 0x31));
  _mm256_storeu_pd(out + 3 * ld, _mm256_permute2f128_pd(high, high2, 0x31));
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
