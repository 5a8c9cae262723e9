#pragma once

// What the rows with vector registers share: Vec<T> over xsimd's batch of the row's architecture. Whatever
// xsimd does by the flags of the compiler or differently from version to version is in the file of each row.

#include <xsimd/xsimd.hpp>

#include "simd/rows/base.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

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
template <class M>
SOFTSTEP_INLINE bool any(M m) {
  return xsimd::any(m);
}
template <class T>
SOFTSTEP_INLINE Vec<T> square_root(Vec<T> a) {
  return {xsimd::sqrt(a.v)};
}

// The bits of a register as numbers of another type.
template <class To, class From>
SOFTSTEP_INLINE xsimd::batch<To, Arch> bits_as(xsimd::batch<From, Arch> x) {
#if XSIMD_VERSION_MAJOR >= 11
  return xsimd::bitwise_cast<To>(x);
#else
  return xsimd::bitwise_cast<xsimd::batch<To, Arch>>(x);
#endif
}

template <class T>
SOFTSTEP_INLINE Vec<T> power_of_two(Vec<T> shifted) {
  using Int = typename Bits<T>::Int;
  return {bits_as<T>(bits_as<Int>(shifted.v) << Bits<T>::mantissa)};
}

// The exponent is put below the mantissa of 2^mantissa, where it counts units: no conversion between integers
// and floats.
template <class T>
SOFTSTEP_INLINE Vec<T> binary_exponent(Vec<T> x) {
  using Bit = typename Bits<T>::Unsigned;
  constexpr int mantissa = Bits<T>::mantissa;
  constexpr Bit bias = (Bit(1) << (8 * sizeof(T) - mantissa - 2)) - 1;
  const Vec<T> unit = Vec<T>::all(static_cast<T>(Bit(1) << mantissa));
  const Vec<T> offset = Vec<T>::all(static_cast<T>((Bit(1) << mantissa) + bias));
  return Vec<T>{bits_as<T>((bits_as<Bit>(x.v) >> mantissa) | bits_as<Bit>(unit.v))} - offset;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
