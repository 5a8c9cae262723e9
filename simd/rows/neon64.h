#pragma once

// NEON of 64-bit Arm: 32 registers of 128 bits, with fused multiply-add.

#include <arm_neon.h>

#include "simd/rows/xsimd_vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

constexpr std::size_t tile_rows = 6, tile_vectors = 4, row_vectors = 16, nt_columns = 3, run_rows = 5,
                      run_columns = 5;
constexpr bool finds_lanes = false;

SOFTSTEP_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {vfmaq_f32(c.v, a.v, b.v)};
}
SOFTSTEP_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {vfmaq_f64(c.v, a.v, b.v)};
}
// The instruction gives NaN where one is NaN.
SOFTSTEP_INLINE Vec<float> at_least(Vec<float> low, Vec<float> x) { return {vmaxq_f32(low.v, x.v)}; }
SOFTSTEP_INLINE Vec<double> at_least(Vec<double> low, Vec<double> x) { return {vmaxq_f64(low.v, x.v)}; }

// (x0 + x1) + (x2 + x3); x0 + x1.
SOFTSTEP_INLINE float sum(Vec<float> a) { return vaddvq_f32(a.v); }
SOFTSTEP_INLINE double sum(Vec<double> a) { return vaddvq_f64(a.v); }
template <class T>
SOFTSTEP_INLINE T maximum(Vec<T> a) {
  T out[Vec<T>::width];
  a.store(out);
  T m = out[0];
  for (std::size_t i = 1; i < Vec<T>::width; ++i) m = out[i] > m ? out[i] : m;
  return m;
}

template <class T>
SOFTSTEP_INLINE Vec<T> load_part(const T* p, std::size_t n, T fill = T(0)) {
  T buffer[Vec<T>::width];
  for (std::size_t i = 0; i < Vec<T>::width; ++i) buffer[i] = i < n ? p[i] : fill;
  return Vec<T>::load(buffer);
}
template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
  T buffer[Vec<T>::width];
  a.store(buffer);
  for (std::size_t i = 0; i < n; ++i) p[i] = buffer[i];
}
template <class T>
SOFTSTEP_INLINE void store_part_to_load(Vec<T> a, T* p, std::size_t n) {
  store_part(a, p, n);
}

template <std::size_t n, class T>
SOFTSTEP_INLINE Vec<T> gather_sums(const Vec<T>* s) {
  static_assert(n == Vec<T>::width);
  T out[n];
  for (std::size_t k = 0; k < n; ++k) out[k] = sum(s[k]);
  return Vec<T>::load(out);
}

SOFTSTEP_INLINE uint16x4_t load_halves(const std::uint16_t* p) { return vld1_u16(p); }
SOFTSTEP_INLINE uint16x4_t load_halves(const std::uint16_t* p, std::size_t n) {
  std::uint16_t buffer[4] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return vld1_u16(buffer);
}
SOFTSTEP_INLINE Vec<float> from_f16(uint16x4_t x) { return {vcvt_f32_f16(vreinterpret_f16_u16(x))}; }
SOFTSTEP_INLINE Vec<float> from_bf16(uint16x4_t x) { return {vreinterpretq_f32_u32(vshll_n_u16(x, 16))}; }

template <class T>
constexpr std::size_t transpose_size = 4;
template <class T>
SOFTSTEP_INLINE void transpose_square(const T* in, std::ptrdiff_t stride, T* out, std::size_t ld) {
  transpose_by_numbers<4>(in, stride, out, ld);
}

SOFTSTEP_INLINE Vec<double> widened(const float* p) { return {vcvt_f64_f32(vld1_f32(p))}; }
SOFTSTEP_INLINE Vec<double> store_narrowed(Vec<double> x, float* p) {
  const float32x2_t y = vcvt_f32_f64(x.v);
  vst1_f32(p, y);
  return {vcvt_f64_f32(y)};
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
