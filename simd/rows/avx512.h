#pragma once

// AVX-512 (f, cd, dq, bw, vl): 32 registers of 512 bits, and masks of their own.

#include "simd/rows/registers_256.h"
#include "simd/rows/xsimd_vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

constexpr std::size_t tile_rows = 6, tile_vectors = 4, row_vectors = 16, nt_columns = 4, run_rows = 5,
                      run_columns = 5;
constexpr bool finds_lanes = true;

// By the instruction: xsimd 8.1 multiplies and adds in two.
SOFTSTEP_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
SOFTSTEP_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
// The instruction takes its second operand where one is NaN.
SOFTSTEP_INLINE Vec<float> at_least(Vec<float> low, Vec<float> x) { return {_mm512_max_ps(low.v, x.v)}; }
SOFTSTEP_INLINE Vec<double> at_least(Vec<double> low, Vec<double> x) { return {_mm512_max_pd(low.v, x.v)}; }

SOFTSTEP_INLINE float sum(Vec<float> a) {
  return sum_of(_mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
SOFTSTEP_INLINE double sum(Vec<double> a) {
  return sum_of(_mm256_add_pd(_mm512_castpd512_pd256(a.v), _mm512_extractf64x4_pd(a.v, 1)));
}
SOFTSTEP_INLINE float maximum(Vec<float> a) { return _mm512_reduce_max_ps(a.v); }
SOFTSTEP_INLINE double maximum(Vec<double> a) { return _mm512_reduce_max_pd(a.v); }
// Without the sign, bits are ordered as numbers are, NaN above infinity.
SOFTSTEP_INLINE Vec<float> larger_size(Vec<float> largest, Vec<float> x) {
  return {_mm512_castsi512_ps(
      _mm512_max_epi32(_mm512_castps_si512(largest.v), _mm512_castps_si512(_mm512_abs_ps(x.v))))};
}
SOFTSTEP_INLINE Vec<double> larger_size(Vec<double> largest, Vec<double> x) {
  return {_mm512_castsi512_pd(
      _mm512_max_epi64(_mm512_castpd_si512(largest.v), _mm512_castpd_si512(_mm512_abs_pd(x.v))))};
}
SOFTSTEP_INLINE int equal_lanes(Vec<float> a, Vec<float> b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
}
SOFTSTEP_INLINE int equal_lanes(Vec<double> a, Vec<double> b) {
  return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ);
}

SOFTSTEP_INLINE __mmask16 first_lanes(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
SOFTSTEP_INLINE Vec<float> load_part(const float* p, std::size_t n, float fill = 0) {
  return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(n), p)};
}
SOFTSTEP_INLINE Vec<double> load_part(const double* p, std::size_t n, double fill = 0) {
  return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>(first_lanes(n)), p)};
}
SOFTSTEP_INLINE void store_part(Vec<float> a, float* p, std::size_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
}
SOFTSTEP_INLINE void store_part(Vec<double> a, double* p, std::size_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(n)), a.v);
}
SOFTSTEP_INLINE void store_part_to_load(Vec<float> a, float* p, std::size_t n) {
  if (n < 8) return store_low(_mm512_castps512_ps256(a.v), p, n);
  _mm256_storeu_ps(p, _mm512_castps512_ps256(a.v));
  store_low(_mm512_extractf32x8_ps(a.v, 1), p + 8, n - 8);
}
SOFTSTEP_INLINE void store_part_to_load(Vec<double> a, double* p, std::size_t n) {
  if (n < 4) return store_low(_mm512_castpd512_pd256(a.v), p, n);
  _mm256_storeu_pd(p, _mm512_castpd512_pd256(a.v));
  store_low(_mm512_extractf64x4_pd(a.v, 1), p + 4, n - 4);
}

SOFTSTEP_INLINE Vec<float> fold_halves(Vec<float> a, Vec<float> b) {
  return {_mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44), _mm512_shuffle_f32x4(a.v, b.v, 0xee))};
}
SOFTSTEP_INLINE Vec<double> fold_halves(Vec<double> a, Vec<double> b) {
  return {_mm512_add_pd(_mm512_shuffle_f64x2(a.v, b.v, 0x44), _mm512_shuffle_f64x2(a.v, b.v, 0xee))};
}
SOFTSTEP_INLINE Vec<float> fold_quarters(Vec<float> a, Vec<float> b) {
  return {_mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x88), _mm512_shuffle_f32x4(a.v, b.v, 0xdd))};
}
SOFTSTEP_INLINE Vec<double> fold_quarters(Vec<double> a, Vec<double> b) {
  return {_mm512_add_pd(_mm512_shuffle_f64x2(a.v, b.v, 0x88), _mm512_shuffle_f64x2(a.v, b.v, 0xdd))};
}
SOFTSTEP_INLINE Vec<float> fold_pairs(Vec<float> a, Vec<float> b) {
  return {_mm512_add_ps(_mm512_shuffle_ps(a.v, b.v, 0x44), _mm512_shuffle_ps(a.v, b.v, 0xee))};
}
SOFTSTEP_INLINE Vec<float> fold_elements(Vec<float> a, Vec<float> b) {
  return {_mm512_add_ps(_mm512_shuffle_ps(a.v, b.v, 0x88), _mm512_shuffle_ps(a.v, b.v, 0xdd))};
}
SOFTSTEP_INLINE Vec<double> fold_elements(Vec<double> a, Vec<double> b) {
  return {_mm512_add_pd(_mm512_unpacklo_pd(a.v, b.v), _mm512_unpackhi_pd(a.v, b.v))};
}
// `order` undoes the permutation of the folding.
template <std::size_t n>
SOFTSTEP_INLINE Vec<float> gather_sums(const Vec<float>* s) {
  static_assert(n == 4 || n == 8 || n == 16);
  Vec<float> quarter[n / 4];  // element q of lane group: token 4 k + q in 128-bit lane q
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n / 4; ++k)
    quarter[k] = fold_quarters(fold_halves(s[4 * k], s[4 * k + 1]), fold_halves(s[4 * k + 2], s[4 * k + 3]));
  const Vec<float> low = fold_pairs(quarter[0], quarter[n >= 8 ? 1 : 0]);
  const Vec<float> high = n == 16 ? fold_pairs(quarter[n == 16 ? 2 : 0], quarter[n == 16 ? 3 : 0]) : low;
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return {_mm512_permutexvar_ps(order, fold_elements(low, high).v)};
}
template <std::size_t n>
SOFTSTEP_INLINE Vec<double> gather_sums(const Vec<double>* s) {
  static_assert(n == 4 || n == 8);
  Vec<double> quarter[n / 4];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n / 4; ++k)
    quarter[k] = fold_quarters(fold_halves(s[4 * k], s[4 * k + 1]), fold_halves(s[4 * k + 2], s[4 * k + 3]));
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  return {_mm512_permutexvar_pd(order, fold_elements(quarter[0], quarter[n / 4 - 1]).v)};
}

SOFTSTEP_INLINE __m256i load_halves(const std::uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
SOFTSTEP_INLINE __m256i load_halves(const std::uint16_t* p, std::size_t n) {
  return _mm256_maskz_loadu_epi16(first_lanes(n), p);
}
SOFTSTEP_INLINE Vec<float> from_f16(__m256i x) { return {_mm512_cvtph_ps(x)}; }
SOFTSTEP_INLINE Vec<float> from_bf16(__m256i x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}

SOFTSTEP_INLINE Vec<double> widened(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
SOFTSTEP_INLINE Vec<double> store_narrowed(Vec<double> x, float* p) {
  const __m256 y = _mm512_cvtpd_ps(x.v);
  _mm256_storeu_ps(p, y);
  return {_mm512_cvtps_pd(y)};
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
