#pragma once

// Tokens as they are stored, read as vectors of the working type. float16 and bfloat16 are exact in float:
// what is computed from them has the error bounds of the same numbers stored as float. Subnormal, infinite
// and NaN float16 values keep their meaning.

#include <cstdint>

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct WorkingTokens {
  using Element = T;
  SOFTSTEP_INLINE static Vec<T> load(const T* p) { return Vec<T>::load(p); }
  SOFTSTEP_INLINE static Vec<T> load_first(const T* p, std::size_t n) { return load_part(p, n); }
};

// As many 16-bit numbers as a Vec<float> has lanes; past n they are 0.
#if defined(__AVX512F__) && !defined(SOFTSTEP_ISA_IS_scalar)
SOFTSTEP_INLINE __m256i load_halves(const std::uint16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
SOFTSTEP_INLINE __m256i load_halves(const std::uint16_t* p, std::size_t n) {
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1u), p);
}
SOFTSTEP_INLINE Vec<float> from_f16(__m256i x) { return {_mm512_cvtph_ps(x)}; }
SOFTSTEP_INLINE Vec<float> from_bf16(__m256i x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}
#elif defined(__AVX2__) && !defined(SOFTSTEP_ISA_IS_scalar)
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
#elif defined(__SSE2__) && !defined(SOFTSTEP_ISA_IS_scalar)
SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
SOFTSTEP_INLINE __m128i load_halves(const std::uint16_t* p, std::size_t n) {
  std::uint16_t buffer[4] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load_halves(buffer);
}
// The bits move to the place of float's exponent and mantissa, and the difference of the two biases is added
// to the exponent. An exponent of all ones (infinity, NaN) gets it twice and is all ones again. An exponent
// of 0 (subnormal) counts as 1, and the leading bit that this implies is subtracted, which is exact.
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
#elif defined(__aarch64__) && !defined(SOFTSTEP_ISA_IS_scalar)
SOFTSTEP_INLINE uint16x4_t load_halves(const std::uint16_t* p) { return vld1_u16(p); }
SOFTSTEP_INLINE uint16x4_t load_halves(const std::uint16_t* p, std::size_t n) {
  std::uint16_t buffer[4] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return vld1_u16(buffer);
}
SOFTSTEP_INLINE Vec<float> from_f16(uint16x4_t x) { return {vcvt_f32_f16(vreinterpret_f16_u16(x))}; }
SOFTSTEP_INLINE Vec<float> from_bf16(uint16x4_t x) { return {vreinterpretq_f32_u32(vshll_n_u16(x, 16))}; }
#else
SOFTSTEP_INLINE std::uint32_t load_halves(const std::uint16_t* p, std::size_t = 1) { return *p; }
SOFTSTEP_INLINE Vec<float> from_bits(std::uint32_t bits) {
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return {out};
}
SOFTSTEP_INLINE Vec<float> from_f16(std::uint32_t x) {
  const std::uint32_t sign = (x & 0x8000u) << 16, exponent = (x >> 10) & 31u, mantissa = x & 0x3ffu;
  if (exponent == 0) {
    const float size = static_cast<float>(mantissa) * 0x1p-24f;
    return {sign != 0 ? -size : size};
  }
  return from_bits(sign | (exponent == 31 ? 255u : exponent + 112) << 23 | mantissa << 13);
}
SOFTSTEP_INLINE Vec<float> from_bf16(std::uint32_t x) { return from_bits(x << 16); }
#endif

struct F16Tokens {
  using Element = std::uint16_t;
  SOFTSTEP_INLINE static Vec<float> load(const Element* p) { return from_f16(load_halves(p)); }
  SOFTSTEP_INLINE static Vec<float> load_first(const Element* p, std::size_t n) {
    return from_f16(load_halves(p, n));
  }
};

struct Bf16Tokens {
  using Element = std::uint16_t;
  SOFTSTEP_INLINE static Vec<float> load(const Element* p) { return from_bf16(load_halves(p)); }
  SOFTSTEP_INLINE static Vec<float> load_first(const Element* p, std::size_t n) {
    return from_bf16(load_halves(p, n));
  }
};

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
