#pragma once

// One lane and plain arithmetic: the portable fallback, and the scalar baseline of the benchmarks.

#include "simd/rows/base.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

constexpr std::size_t tile_rows = 6, tile_vectors = 2, row_vectors = 8, nt_columns = 3, run_rows = 3,
                      run_columns = 4;
constexpr bool finds_lanes = false;

template <class T>
struct Vec {
  static constexpr std::size_t width = 1;
  using Mask = bool;
  T v;
  SOFTSTEP_INLINE static Vec all(T x) { return {x}; }
  SOFTSTEP_INLINE static Vec load(const T* p) { return {*p}; }
  SOFTSTEP_INLINE void store(T* p) const { *p = v; }
};
template <class T>
SOFTSTEP_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {
  return {a.v + b.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {
  return {a.v - b.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {
  return {a.v * b.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
  return {a.v / b.v};
}
// Two roundings: without the instruction a library call would cost more than the rounding it saves.
template <class T>
SOFTSTEP_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v + c.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return {a.v > b.v ? a.v : b.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> at_least(Vec<T> low, Vec<T> x) {
  return {low.v > x.v ? low.v : x.v};
}
template <class T>
SOFTSTEP_INLINE bool less(Vec<T> a, Vec<T> b) {
  return a.v < b.v;
}
template <class T>
SOFTSTEP_INLINE bool equal(Vec<T> a, Vec<T> b) {
  return a.v == b.v;
}
template <class T>
SOFTSTEP_INLINE Vec<T> select(bool m, Vec<T> a, Vec<T> b) {
  return m ? a : b;
}
SOFTSTEP_INLINE bool any(bool m) { return m; }
// By the instruction: the flags of this room say that no one reads errno.
SOFTSTEP_INLINE Vec<float> square_root(Vec<float> a) { return {__builtin_sqrtf(a.v)}; }
SOFTSTEP_INLINE Vec<double> square_root(Vec<double> a) { return {__builtin_sqrt(a.v)}; }
template <class T>
SOFTSTEP_INLINE T sum(Vec<T> a) {
  return a.v;
}
template <class T>
SOFTSTEP_INLINE T maximum(Vec<T> a) {
  return a.v;
}
template <class T>
SOFTSTEP_INLINE Vec<T> power_of_two(Vec<T> shifted) {
  typename Bits<T>::Int i;
  T out;
  std::memcpy(&i, &shifted.v, sizeof(T));
  i <<= Bits<T>::mantissa;
  std::memcpy(&out, &i, sizeof(T));
  return {out};
}
template <class T>
SOFTSTEP_INLINE Vec<T> binary_exponent(Vec<T> x) {
  using Int = typename Bits<T>::Int;
  constexpr Int bias = (Int(1) << (8 * sizeof(T) - Bits<T>::mantissa - 2)) - 1;
  Int i;
  std::memcpy(&i, &x.v, sizeof(T));
  return {static_cast<T>((i >> Bits<T>::mantissa) - bias)};
}

template <class T>
SOFTSTEP_INLINE Vec<T> load_part(const T* p, std::size_t n, T fill = T(0)) {
  return n == 0 ? Vec<T>{fill} : Vec<T>{*p};
}
template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
  if (n != 0) *p = a.v;
}
template <class T>
SOFTSTEP_INLINE void store_part_to_load(Vec<T> a, T* p, std::size_t n) {
  store_part(a, p, n);
}

template <std::size_t n, class T>
SOFTSTEP_INLINE Vec<T> gather_sums(const Vec<T>* s) {
  static_assert(n == 1);
  return s[0];
}

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

template <class T>
constexpr std::size_t transpose_size = 4;
template <class T>
SOFTSTEP_INLINE void transpose_square(const T* in, std::ptrdiff_t stride, T* out, std::size_t ld) {
  transpose_by_numbers<4>(in, stride, out, ld);
}

SOFTSTEP_INLINE Vec<double> widened(const float* p) { return {static_cast<double>(*p)}; }
SOFTSTEP_INLINE Vec<double> store_narrowed(Vec<double> x, float* p) {
  const float y = static_cast<float>(x.v);
  *p = y;
  return {static_cast<double>(y)};
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
