#pragma once

// AVX2 with fused multiply-add and the conversion of float16: 16 registers of 256 bits.

#include "simd/rows/registers_256.h"
#include "simd/rows/xsimd_vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

constexpr std::size_t tile_rows = 4, tile_vectors = 3, row_vectors = 8, nt_columns = 3, run_rows = 3,
                      run_columns = 4;
constexpr bool finds_lanes = true;

SOFTSTEP_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
SOFTSTEP_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
// The instruction takes its second operand where one is NaN.
SOFTSTEP_INLINE Vec<float> at_least(Vec<float> low, Vec<float> x) { return {_mm256_max_ps(low.v, x.v)}; }
SOFTSTEP_INLINE Vec<double> at_least(Vec<double> low, Vec<double> x) { return {_mm256_max_pd(low.v, x.v)}; }

template <class T>
SOFTSTEP_INLINE T sum(Vec<T> a) {
  return sum_of(a.v);
}
SOFTSTEP_INLINE float maximum(Vec<float> a) {
  return maximum_of(_mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1)));
}
SOFTSTEP_INLINE double maximum(Vec<double> a) {
  return maximum_of(_mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1)));
}
// Without the sign, bits are ordered as numbers are, NaN above infinity.
SOFTSTEP_INLINE Vec<float> larger_size(Vec<float> largest, Vec<float> x) {
  const __m256i size = _mm256_and_si256(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x7fffffff));
  return {_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(largest.v), size))};
}
SOFTSTEP_INLINE Vec<double> larger_size(Vec<double> largest, Vec<double> x) {
  const __m256d size = _mm256_andnot_pd(_mm256_set1_pd(-0.0), x.v);
  const __m256i is_larger = _mm256_cmpgt_epi64(_mm256_castpd_si256(size), _mm256_castpd_si256(largest.v));
  return {_mm256_blendv_pd(largest.v, size, _mm256_castsi256_pd(is_larger))};
}
SOFTSTEP_INLINE int equal_lanes(Vec<float> a, Vec<float> b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ));
}
SOFTSTEP_INLINE int equal_lanes(Vec<double> a, Vec<double> b) {
  return _mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ));
}

SOFTSTEP_INLINE Vec<float> load_part(const float* p, std::size_t n, float fill = 0) {
  const __m256i lanes =
      _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256 x = _mm256_maskload_ps(p, lanes);
  return {fill == 0 ? x : _mm256_blendv_ps(_mm256_set1_ps(fill), x, _mm256_castsi256_ps(lanes))};
}
SOFTSTEP_INLINE Vec<double> load_part(const double* p, std::size_t n, double fill = 0) {
  const __m256i lanes =
      _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_setr_epi64x(0, 1, 2, 3));
  const __m256d x = _mm256_maskload_pd(p, lanes);
  return {fill == 0 ? x : _mm256_blendv_pd(_mm256_set1_pd(fill), x, _mm256_castsi256_pd(lanes))};
}
// In pieces: a masked store takes tens of cycles on some processors.
template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
  store_low(a.v, p, n);
}
template <class T>
SOFTSTEP_INLINE void store_part_to_load(Vec<T> a, T* p, std::size_t n) {
  store_low(a.v, p, n);
}

SOFTSTEP_INLINE Vec<float> fold_halves(Vec<float> a, Vec<float> b) {
  return {_mm256_add_ps(_mm256_permute2f128_ps(a.v, b.v, 0x20), _mm256_permute2f128_ps(a.v, b.v, 0x31))};
}
SOFTSTEP_INLINE Vec<double> fold_halves(Vec<double> a, Vec<double> b) {
  return {_mm256_add_pd(_mm256_permute2f128_pd(a.v, b.v, 0x20), _mm256_permute2f128_pd(a.v, b.v, 0x31))};
}
SOFTSTEP_INLINE Vec<float> fold_pairs(Vec<float> a, Vec<float> b) {
  return {_mm256_add_ps(_mm256_shuffle_ps(a.v, b.v, 0x44), _mm256_shuffle_ps(a.v, b.v, 0xee))};
}
SOFTSTEP_INLINE Vec<float> fold_elements(Vec<float> a, Vec<float> b) {
  return {_mm256_add_ps(_mm256_shuffle_ps(a.v, b.v, 0x88), _mm256_shuffle_ps(a.v, b.v, 0xdd))};
}
SOFTSTEP_INLINE Vec<double> fold_elements(Vec<double> a, Vec<double> b) {
  return {_mm256_add_pd(_mm256_unpacklo_pd(a.v, b.v), _mm256_unpackhi_pd(a.v, b.v))};
}
template <std::size_t n>
SOFTSTEP_INLINE Vec<float> gather_sums(const Vec<float>* s) {
  static_assert(n == 4 || n == 8);
  const Vec<float> low = fold_pairs(fold_halves(s[0], s[1]), fold_halves(s[2], s[3]));
  const Vec<float> high =
      n == 8 ? fold_pairs(fold_halves(s[n - 4], s[n - 3]), fold_halves(s[n - 2], s[n - 1])) : low;
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return {_mm256_permutevar8x32_ps(fold_elements(low, high).v, order)};
}
template <std::size_t n>
SOFTSTEP_INLINE Vec<double> gather_sums(const Vec<double>* s) {
  static_assert(n == 4);
  return {_mm256_permute4x64_pd(fold_elements(fold_halves(s[0], s[1]), fold_halves(s[2], s[3])).v, 0xd8)};
}

SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p, std::size_t n) {
  std::uint16_t buffer[8] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load_halves(buffer);
}
SOFTSTEP_INLINE Vec<float> from_f16(__m128i x) { return {_mm256_cvtph_ps(x)}; }
SOFTSTEP_INLINE Vec<float> from_bf16(__m128i x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16))};
}

SOFTSTEP_INLINE Vec<double> widened(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
SOFTSTEP_INLINE Vec<double> store_narrowed(Vec<double> x, float* p) {
  const __m128 y = _mm256_cvtpd_ps(x.v);
  _mm_storeu_ps(p, y);
  return {_mm256_cvtps_pd(y)};
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
