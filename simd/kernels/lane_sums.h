#pragma once

// Sums over the lanes of several registers at once. A sum over lanes takes as many shuffles as additions.
// Folding two registers into one halves the work for both.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Sums of n registers, n a power of two from 4 on, gathered in registers of `width` sums. `order` is the
// permutation that undoes the folding.
#if defined(__AVX512F__) && !defined(SOFTSTEP_ISA_IS_scalar)
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
#elif defined(__AVX2__) && !defined(SOFTSTEP_ISA_IS_scalar)
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
#elif defined(__SSE2__) && !defined(SOFTSTEP_ISA_IS_scalar)
template <std::size_t n>
SOFTSTEP_INLINE Vec<float> gather_sums(const Vec<float>* s) {
  static_assert(n == 4);
  const auto pairs = [](Vec<float> a, Vec<float> b) SOFTSTEP_LAMBDA_INLINE {
    return _mm_add_ps(_mm_shuffle_ps(a.v, b.v, 0x44), _mm_shuffle_ps(a.v, b.v, 0xee));
  };
  const __m128 low = pairs(s[0], s[1]), high = pairs(s[2], s[3]);
  return {_mm_add_ps(_mm_shuffle_ps(low, high, 0x88), _mm_shuffle_ps(low, high, 0xdd))};
}
template <std::size_t n>
SOFTSTEP_INLINE Vec<double> gather_sums(const Vec<double>* s) {
  static_assert(n == 2);
  return {_mm_add_pd(_mm_unpacklo_pd(s[0].v, s[1].v), _mm_unpackhi_pd(s[0].v, s[1].v))};
}
#else
template <std::size_t n, class T>
SOFTSTEP_INLINE Vec<T> gather_sums(const Vec<T>* s) {
  static_assert(n == Vec<T>::width);
  T out[n];
  for (std::size_t k = 0; k < n; ++k) out[k] = sum(s[k]);
  return Vec<T>::load(out);
}
#endif

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
