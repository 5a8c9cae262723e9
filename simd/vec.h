#pragma once

// One vector register of T for the instruction set this file is compiled for. With exp.h the only place that
// names xsimd; kernels are written in terms of Vec<T> alone. SOFTSTEP_ISA_NAME is the namespace,
// SOFTSTEP_ISA_ARCH the xsimd architecture (void: one lane, plain arithmetic).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#if !defined(SOFTSTEP_ISA_IS_scalar)
#include <xsimd/xsimd.hpp>
#endif

#define SOFTSTEP_INLINE inline __attribute__((always_inline))
#define SOFTSTEP_LAMBDA_INLINE __attribute__((always_inline))

// Before a loop of constant length over an array of registers: only unrolled does the array stay in
// registers.
#if defined(__clang__)
#define SOFTSTEP_UNROLL _Pragma("unroll")
#else
#define SOFTSTEP_UNROLL _Pragma("GCC unroll 16")
#endif

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Bit-level view of a number type.
template <class T>
struct Bits;
template <>
struct Bits<float> {
  using Int = std::int32_t;
  using Unsigned = std::uint32_t;
  static constexpr int mantissa = 23;
};
template <>
struct Bits<double> {
  using Int = std::int64_t;
  using Unsigned = std::uint64_t;
  static constexpr int mantissa = 52;
};

#if defined(SOFTSTEP_ISA_IS_scalar)

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
// a * b + c. Without the instruction a library call would cost more than the rounding it saves.
template <class T>
SOFTSTEP_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v + c.v};
}
template <class T>
SOFTSTEP_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return {a.v > b.v ? a.v : b.v};
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
template <class T>
SOFTSTEP_INLINE T sum(Vec<T> a) {
  return a.v;
}
template <class T>
SOFTSTEP_INLINE T maximum(Vec<T> a) {
  return a.v;
}
// The low bits of `shifted`, moved into the exponent field: 2^n for shifted = n + bias + 1.5 * 2^mantissa.
template <class T>
SOFTSTEP_INLINE Vec<T> power_of_two(Vec<T> shifted) {
  typename Bits<T>::Int i;
  T out;
  std::memcpy(&i, &shifted.v, sizeof(T));
  i <<= Bits<T>::mantissa;
  std::memcpy(&out, &i, sizeof(T));
  return {out};
}

// The exponent field as a number: floor(log2 x) for normal x > 0, -bias for 0 and subnormals, bias + 1 for infinity
// and NaN.
template <class T>
SOFTSTEP_INLINE Vec<T> binary_exponent(Vec<T> x) {
  using Int = typename Bits<T>::Int;
  constexpr Int bias = (Int(1) << (8 * sizeof(T) - Bits<T>::mantissa - 2)) - 1;
  Int i;
  std::memcpy(&i, &x.v, sizeof(T));
  return {static_cast<T>((i >> Bits<T>::mantissa) - bias)};
}

#else

using Arch = SOFTSTEP_ISA_ARCH;

template <class T>
struct Vec {
  using Batch = xsimd::batch<T, Arch>;
  using Mask = typename Batch::batch_bool_type;
  static constexpr std::size_t width = Batch::size;
  Batch v;
  SOFTSTEP_INLINE static Vec all(T x) { return {Batch(x)}; }
  SOFTSTEP_INLINE static Vec load(const T* p) { return {Batch::load_unaligned(p)}; }
  SOFTSTEP_INLINE void store(T* p) const { v.store_unaligned(p); }
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
// a * b + c, in one rounding where the instruction set has it.
template <class T>
SOFTSTEP_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  // xsimd 8.1 multiplies and adds in two instructions here.
  if constexpr (sizeof(T) == 4)
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
  else
    return {_mm512_fmadd_pd(a.v, b.v, c.v)};
#else
  return {xsimd::fma(a.v, b.v, c.v)};
#endif
}
template <class T>
SOFTSTEP_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return {xsimd::max(a.v, b.v)};
}
template <class T>
SOFTSTEP_INLINE auto less(Vec<T> a, Vec<T> b) {
  return a.v < b.v;
}
template <class T>
SOFTSTEP_INLINE auto equal(Vec<T> a, Vec<T> b) {
  return a.v == b.v;
}
template <class T, class M>
SOFTSTEP_INLINE Vec<T> select(M m, Vec<T> a, Vec<T> b) {
  return {xsimd::select(m, a.v, b.v)};
}
template <class T>
SOFTSTEP_INLINE T sum(Vec<T> a) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(a.v);
#else
  return xsimd::hadd(a.v);
#endif
}
template <class T>
SOFTSTEP_INLINE T maximum(Vec<T> a) {
  T out[Vec<T>::width];
  a.store(out);
  T m = out[0];
  for (std::size_t i = 1; i < Vec<T>::width; ++i) m = out[i] > m ? out[i] : m;
  return m;
}
template <class T>
SOFTSTEP_INLINE Vec<T> power_of_two(Vec<T> shifted) {
  using Int = typename Bits<T>::Int;
#if XSIMD_VERSION_MAJOR >= 11
  return {xsimd::bitwise_cast<T>(xsimd::bitwise_cast<Int>(shifted.v) << Bits<T>::mantissa)};
#else
  using IntBatch = xsimd::batch<Int, Arch>;
  return {xsimd::bitwise_cast<xsimd::batch<T, Arch>>(xsimd::bitwise_cast<IntBatch>(shifted.v)
                                                     << Bits<T>::mantissa)};
#endif
}

// The exponent field as a number: floor(log2 x) for normal x > 0, -bias for 0 and subnormals, bias + 1 for infinity
// and NaN. Put below the mantissa of 2^mantissa, where it counts units: no conversion between integers and floats.
template <class T>
SOFTSTEP_INLINE Vec<T> binary_exponent(Vec<T> x) {
  using Bit = typename Bits<T>::Unsigned;
  using Word = xsimd::batch<Bit, Arch>;
  constexpr int mantissa = Bits<T>::mantissa;
  constexpr Bit bias = (Bit(1) << (8 * sizeof(T) - mantissa - 2)) - 1;
  const Vec<T> unit = Vec<T>::all(static_cast<T>(Bit(1) << mantissa));
  const Vec<T> offset = Vec<T>::all(static_cast<T>((Bit(1) << mantissa) + bias));
#if XSIMD_VERSION_MAJOR >= 11
  const Word field = (xsimd::bitwise_cast<Bit>(x.v) >> mantissa) | xsimd::bitwise_cast<Bit>(unit.v);
  return Vec<T>{xsimd::bitwise_cast<T>(field)} - offset;
#else
  const Word field = (xsimd::bitwise_cast<Word>(x.v) >> mantissa) | xsimd::bitwise_cast<Word>(unit.v);
  return Vec<T>{xsimd::bitwise_cast<xsimd::batch<T, Arch>>(field)} - offset;
#endif
}

#endif

// The first n < width lanes; the others are `fill`. Never touches memory past p + n.
template <class T>
SOFTSTEP_INLINE Vec<T> load_part(const T* p, std::size_t n, T fill = T(0)) {
#if defined(__AVX512F__) && !defined(SOFTSTEP_ISA_IS_scalar)
  if constexpr (sizeof(T) == 4)
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), static_cast<__mmask16>((1u << n) - 1u), p)};
  else
    return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>((1u << n) - 1u), p)};
#else
  T buffer[Vec<T>::width];
  for (std::size_t i = 0; i < Vec<T>::width; ++i) buffer[i] = i < n ? p[i] : fill;
  return Vec<T>::load(buffer);
#endif
}

template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
#if defined(__AVX512F__) && !defined(SOFTSTEP_ISA_IS_scalar)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), a.v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), a.v);
#else
  T buffer[Vec<T>::width];
  a.store(buffer);
  for (std::size_t i = 0; i < n; ++i) p[i] = buffer[i];
#endif
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
