#pragma once

// SSE2, the least that a 64-bit x86 processor has: 16 registers of 128 bits, no fused multiply-add.

#include "simd/rows/registers_128.h"
#include "simd/rows/xsimd_vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

constexpr std::size_t tile_rows = 6, tile_vectors = 2, row_vectors = 8, nt_columns = 3, run_rows = 3,
                      run_columns = 4;
constexpr bool finds_lanes = true;

template <class T>
SOFTSTEP_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v + c.v};
}
// The instruction takes its second operand where one is NaN.
SOFTSTEP_INLINE Vec<float> at_least(Vec<float> low, Vec<float> x) { return {_mm_max_ps(low.v, x.v)}; }
SOFTSTEP_INLINE Vec<double> at_least(Vec<double> low, Vec<double> x) { return {_mm_max_pd(low.v, x.v)}; }

// (x0 + x2) + (x1 + x3); x0 + x1.
SOFTSTEP_INLINE float sum(Vec<float> a) {
  const __m128 pair = _mm_add_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
SOFTSTEP_INLINE double sum(Vec<double> a) {
  return _mm_cvtsd_f64(_mm_add_sd(a.v, _mm_unpackhi_pd(a.v, a.v)));
}
SOFTSTEP_INLINE float maximum(Vec<float> a) { return maximum_of(static_cast<__m128>(a.v)); }
SOFTSTEP_INLINE double maximum(Vec<double> a) { return maximum_of(static_cast<__m128d>(a.v)); }
SOFTSTEP_INLINE int equal_lanes(Vec<float> a, Vec<float> b) {
  return _mm_movemask_ps(_mm_cmpeq_ps(a.v, b.v));
}
SOFTSTEP_INLINE int equal_lanes(Vec<double> a, Vec<double> b) {
  return _mm_movemask_pd(_mm_cmpeq_pd(a.v, b.v));
}

SOFTSTEP_INLINE Vec<float> load_part(const float* p, std::size_t n, float fill = 0) {
  const __m128 others = _mm_set1_ps(fill);
  if (n == 1) return {_mm_move_ss(others, _mm_load_ss(p))};
  const __m128 two = _mm_loadl_pi(others, reinterpret_cast<const __m64*>(p));
  if (n == 2) return {two};
  return {_mm_movelh_ps(two, _mm_move_ss(others, _mm_load_ss(p + 2)))};
}
SOFTSTEP_INLINE Vec<double> load_part(const double* p, std::size_t, double fill = 0) {
  return {_mm_loadl_pd(_mm_set1_pd(fill), p)};
}
template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
  store_low(a.v, p, n);
}
template <class T>
SOFTSTEP_INLINE void store_part_to_load(Vec<T> a, T* p, std::size_t n) {
  store_low(a.v, p, n);
}

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

SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p, std::size_t n) {
  std::uint16_t buffer[4] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load_halves(buffer);
}
// Moved to the place of float's exponent and mantissa. The exponent gets the difference of the biases, twice
// where it was full; where it was empty the number is that of exponent 1 less its leading bit, an exact
// difference.
SOFTSTEP_INLINE Vec<float> from_f16(__m128i x) {
  const __m128i wide = _mm_unpacklo_epi16(x, _mm_setzero_si128());
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(wide, _mm_set1_epi32(0x8000)), 16);
  const __m128i size = _mm_slli_epi32(_mm_and_si128(wide, _mm_set1_epi32(0x7fff)), 13);
  const __m128i exponent = _mm_and_si128(size, _mm_set1_epi32(0x7c00 << 13));
  const __m128i bias = _mm_set1_epi32((127 - 15) << 23);
  const __m128i full = _mm_cmpeq_epi32(exponent, _mm_set1_epi32(0x7c00 << 13));
  const __m128i empty = _mm_cmpeq_epi32(exponent, _mm_setzero_si128());
  const __m128i normal = _mm_add_epi32(_mm_add_epi32(size, bias), _mm_and_si128(full, bias));
  const __m128i one = _mm_set1_epi32((127 - 14) << 23);
  const __m128i subnormal =
      _mm_castps_si128(_mm_sub_ps(_mm_castsi128_ps(_mm_add_epi32(size, one)), _mm_castsi128_ps(one)));
  const __m128i chosen = _mm_or_si128(_mm_and_si128(empty, subnormal), _mm_andnot_si128(empty, normal));
  return {_mm_castsi128_ps(_mm_or_si128(chosen, sign))};
}
SOFTSTEP_INLINE Vec<float> from_bf16(__m128i x) {
  return {_mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), x))};
}

template <class T>
constexpr std::size_t transpose_size = 16 / sizeof(T);
SOFTSTEP_INLINE void transpose_square(const float* in, std::ptrdiff_t stride, float* out, std::size_t ld) {
  __m128 a = _mm_loadu_ps(in), b = _mm_loadu_ps(in + stride), c = _mm_loadu_ps(in + 2 * stride),
         d = _mm_loadu_ps(in + 3 * stride);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(out, a);
  _mm_storeu_ps(out + ld, b);
  _mm_storeu_ps(out + 2 * ld, c);
  _mm_storeu_ps(out + 3 * ld, d);
}
SOFTSTEP_INLINE void transpose_square(const double* in, std::ptrdiff_t stride, double* out, std::size_t ld) {
  const __m128d a = _mm_loadu_pd(in), b = _mm_loadu_pd(in + stride);
  _mm_storeu_pd(out, _mm_unpacklo_pd(a, b));
  _mm_storeu_pd(out + ld, _mm_unpackhi_pd(a, b));
}

SOFTSTEP_INLINE Vec<double> widened(const float* p) {
  return {_mm_cvtps_pd(_mm_loadl_pi(_mm_setzero_ps(), reinterpret_cast<const __m64*>(p)))};
}
SOFTSTEP_INLINE Vec<double> store_narrowed(Vec<double> x, float* p) {
  const __m128 y = _mm_cvtpd_ps(x.v);
  _mm_storel_pi(reinterpret_cast<__m64*>(p), y);
  return {_mm_cvtps_pd(y)};
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
