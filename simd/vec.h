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
// registers. SOFTSTEP_ROLL before one that must stay a single piece of code.
#if defined(__clang__)
#define SOFTSTEP_UNROLL _Pragma("unroll")
#define SOFTSTEP_ROLL _Pragma("nounroll")
#else
#define SOFTSTEP_UNROLL _Pragma("GCC unroll 16")
#define SOFTSTEP_ROLL _Pragma("GCC unroll 1")
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
// a * b + c as two operations: std::fma without the instruction is a library call, which costs more than it
// is worth.
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

// The exponent field as a number: floor(log2 x) for normal x > 0, -bias for 0 and subnormals, bias + 1 for
// infinity and NaN.
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
// The maximum over the lanes. With NaN in some lanes the result may be NaN or not.
template <class T>
SOFTSTEP_INLINE T maximum(Vec<T> a) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_reduce_max_ps(a.v);
  else
    return _mm512_reduce_max_pd(a.v);
#elif defined(__SSE2__)
#if defined(__AVX2__)
  const auto half = [&] {
    if constexpr (sizeof(T) == 4)
      return _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    else
      return _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  }();
#else
  const auto half = [&] {
    if constexpr (sizeof(T) == 4)
      return static_cast<__m128>(a.v);
    else
      return static_cast<__m128d>(a.v);
  }();
#endif
  if constexpr (sizeof(T) == 4) {
    const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
  } else {
    return _mm_cvtsd_f64(_mm_max_sd(half, _mm_unpackhi_pd(half, half)));
  }
#else
  T out[Vec<T>::width];
  a.store(out);
  T m = out[0];
  for (std::size_t i = 1; i < Vec<T>::width; ++i) m = out[i] > m ? out[i] : m;
  return m;
#endif
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

// The exponent field as a number: floor(log2 x) for normal x > 0, -bias for 0 and subnormals, bias + 1 for
// infinity and NaN. The field becomes the low bits of the mantissa of 2^mantissa, where one bit is worth 1.
// So it is read as a float without a conversion from integer.
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

template <class T>
SOFTSTEP_INLINE Vec<T> absolute(Vec<T> x) {
  return max(x, Vec<T>::all(T(0)) - x);
}

// The larger of `largest` >= 0 and |x| by lane; a NaN is larger than anything and stays.
template <class T>
SOFTSTEP_INLINE Vec<T> larger_size(Vec<T> largest, Vec<T> x) {
#if defined(__AVX512F__)
  // Without the sign bit, numbers compare like their bits as integers, and NaN lies above infinity.
  if constexpr (sizeof(T) == 4)
    return {_mm512_castsi512_ps(
        _mm512_max_epi32(_mm512_castps_si512(largest.v), _mm512_castps_si512(_mm512_abs_ps(x.v))))};
  else
    return {_mm512_castsi512_pd(
        _mm512_max_epi64(_mm512_castpd_si512(largest.v), _mm512_castpd_si512(_mm512_abs_pd(x.v))))};
#else
  const Vec<T> size = absolute(x);
  return select(less(size, largest), largest, select(equal(largest, largest), size, largest));
#endif
}

// 0, 1, .. width - 1.
template <class T>
SOFTSTEP_INLINE Vec<T> lane_numbers() {
  constexpr T numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(Vec<T>::width <= 16);
  return Vec<T>::load(numbers);
}

// The index of the first of n elements that is `value`; n - 1 if none is.
template <class T>
SOFTSTEP_INLINE std::size_t first_equal(const T* p, std::size_t n, T value) {
  std::size_t i = 0;
#if defined(__SSE2__) && !defined(SOFTSTEP_ISA_IS_scalar)
  constexpr std::size_t w = Vec<T>::width;
  const Vec<T> wanted = Vec<T>::all(value);
  for (; i + w <= n; i += w) {
    const Vec<T> x = Vec<T>::load(p + i);
    int found = 0;
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
      found = _mm512_cmp_ps_mask(x.v, wanted.v, _CMP_EQ_OQ);
    else
      found = _mm512_cmp_pd_mask(x.v, wanted.v, _CMP_EQ_OQ);
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4)
      found = _mm256_movemask_ps(_mm256_cmp_ps(x.v, wanted.v, _CMP_EQ_OQ));
    else
      found = _mm256_movemask_pd(_mm256_cmp_pd(x.v, wanted.v, _CMP_EQ_OQ));
#else
    if constexpr (sizeof(T) == 4)
      found = _mm_movemask_ps(_mm_cmpeq_ps(x.v, wanted.v));
    else
      found = _mm_movemask_pd(_mm_cmpeq_pd(x.v, wanted.v));
#endif
    if (found != 0) return i + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(found)));
  }
#endif
  while (i + 1 < n && !(p[i] == value)) ++i;
  return i < n ? i : n - 1;
}

// The first n lanes, 0 < n < width; the others are `fill`. Never touches memory past p + n.
template <class T>
SOFTSTEP_INLINE Vec<T> load_part(const T* p, std::size_t n, T fill = T(0)) {
#if defined(SOFTSTEP_ISA_IS_scalar)
  return n == 0 ? Vec<T>{fill} : Vec<T>{*p};
#elif defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), static_cast<__mmask16>((1u << n) - 1u), p)};
  else
    return {_mm512_mask_loadu_pd(_mm512_set1_pd(fill), static_cast<__mmask8>((1u << n) - 1u), p)};
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    const __m256i lanes =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256 x = _mm256_maskload_ps(p, lanes);
    return {fill == T(0) ? x : _mm256_blendv_ps(_mm256_set1_ps(fill), x, _mm256_castsi256_ps(lanes))};
  } else {
    const __m256i lanes =
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_setr_epi64x(0, 1, 2, 3));
    const __m256d x = _mm256_maskload_pd(p, lanes);
    return {fill == T(0) ? x : _mm256_blendv_pd(_mm256_set1_pd(fill), x, _mm256_castsi256_pd(lanes))};
  }
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4) {
    const __m128 others = _mm_set1_ps(fill);
    if (n == 1) return {_mm_move_ss(others, _mm_load_ss(p))};
    const __m128 two = _mm_loadl_pi(others, reinterpret_cast<const __m64*>(p));
    if (n == 2) return {two};
    return {_mm_movelh_ps(two, _mm_move_ss(others, _mm_load_ss(p + 2)))};
  } else {
    return {_mm_loadl_pd(_mm_set1_pd(fill), p)};
  }
#else
  T buffer[Vec<T>::width];
  for (std::size_t i = 0; i < Vec<T>::width; ++i) buffer[i] = i < n ? p[i] : fill;
  return Vec<T>::load(buffer);
#endif
}

#if defined(__SSE2__) && !defined(SOFTSTEP_ISA_IS_scalar)
// n < 4 and n < 2.
SOFTSTEP_INLINE void store_low(__m128 x, float* p, std::size_t n) {
  if (n >= 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), x);
    x = _mm_movehl_ps(x, x);
    p += 2;
  }
  if (n % 2 != 0) _mm_store_ss(p, x);
}
SOFTSTEP_INLINE void store_low(__m128d x, double* p, std::size_t n) {
  if (n != 0) _mm_store_sd(p, x);
}
#if defined(__AVX2__)
// n < 8 and n < 4.
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
#endif
#endif

// The first n lanes, 0 < n < width.
template <class T>
SOFTSTEP_INLINE void store_part(Vec<T> a, T* p, std::size_t n) {
#if defined(SOFTSTEP_ISA_IS_scalar)
  if (n != 0) *p = a.v;
#elif defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), a.v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), a.v);
#elif defined(__SSE2__)
  // In pieces and not by a masked store on AVX2 either: that takes tens of cycles on some processors.
  store_low(a.v, p, n);
#else
  T buffer[Vec<T>::width];
  a.store(buffer);
  for (std::size_t i = 0; i < n; ++i) p[i] = buffer[i];
#endif
}

// The same for numbers that are loaded again at once, in more instructions. The processor does not forward a
// masked store to a load: the load would wait until the store has left the store queue.
template <class T>
SOFTSTEP_INLINE void store_part_to_load(Vec<T> a, T* p, std::size_t n) {
#if defined(__AVX512F__) && !defined(SOFTSTEP_ISA_IS_scalar)
  constexpr std::size_t half = Vec<T>::width / 2;
  if constexpr (sizeof(T) == 4) {
    if (n < half) return store_low(_mm512_castps512_ps256(a.v), p, n);
    _mm256_storeu_ps(p, _mm512_castps512_ps256(a.v));
    store_low(_mm512_extractf32x8_ps(a.v, 1), p + half, n - half);
  } else {
    if (n < half) return store_low(_mm512_castpd512_pd256(a.v), p, n);
    _mm256_storeu_pd(p, _mm512_castpd512_pd256(a.v));
    store_low(_mm512_extractf64x4_pd(a.v, 1), p + half, n - half);
  }
#else
  store_part(a, p, n);
#endif
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
