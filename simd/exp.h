#pragma once

// exp(x) for x <= 0.
//   x = n log 2 + r, |r| <= log(2)/2, n by rounding by adding 1.5 * 2^mantissa + bias, log 2 in two parts;
//   exp(r) by a polynomial of degree 6 (float) or 11 (double), last step 1 + (r + r^2 q(r)); 2^n by shifting
//   the low bits of the rounded sum into the exponent field: no conversion between integers and floats on any
//   instruction set.
// Error: at most 1.5 ULP where the result is normal; below the smallest normal number 0 or the rounded
// result; -inf gives 0, NaN stays NaN, 0 gives 1 exactly (tests/simd/test_exp.cpp holds the bound). Raises no
// floating-point flag but inexact, unless x is NaN (tests/simd/test_floating_point_flags.cpp). Source of the
// method: W. J. Cody and W. Waite, Software Manual for the Elementary Functions, 1980.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float shifter = 12582912.0f + 127.0f;  // 1.5 * 2^23 + exponent bias
  static constexpr float log2e = 0x1.715476p+0f;
  static constexpr float log2_high = 0x1.62e400p-1f;  // 16 bits fewer: n * log2_high is exact
  static constexpr float log2_low = 0x1.7f7d1cp-20f;
  static constexpr float lowest = -0x1.601e68p+6f;  // -127 log 2: n = -127 makes 2^n zero
  // (exp(r) - 1 - r) / r^2, minimax on [-log(2)/2, log(2)/2], highest power first
  static constexpr float q[] = {0x1.6a241ep-10f, 0x1.1239e6p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f,
                                0x1.fffffcp-2f};
};

template <>
struct ExpConstants<double> {
  static constexpr double shifter = 6755399441055744.0 + 1023.0;
  static constexpr double log2e = 0x1.71547652b82fep+0;
  static constexpr double log2_high = 0x1.62e42fefa0000p-1;  // n * log2_high is exact
  static constexpr double log2_low = 0x1.cf79abc9e3b39p-40;
  static constexpr double lowest = -0x1.628b76e3a7b61p+9;  // -1023 log 2
  static constexpr double q[] = {0x1.ad7f8a1f2e52ep-26, 0x1.28ad74df0216dp-22, 0x1.71df2544cf43cp-19,
                                 0x1.a0199a09ec9a2p-16, 0x1.a01a012a5b679p-13, 0x1.6c16c1842b185p-10,
                                 0x1.1111111127be4p-7,  0x1.5555555550877p-5,  0x1.55555555554fap-3,
                                 0x1.000000000000ap-1};
};

// Of n vectors at once, step by step: one alone is a chain of operations that wait for each other, and more
// of them than a processor keeps in sight.
template <std::size_t n_vectors, class T>
SOFTSTEP_INLINE void exp_nonpositive(Vec<T> (&x)[n_vectors]) {
  using C = ExpConstants<T>;
  using V = Vec<T>;
  const auto each = [](auto step) SOFTSTEP_LAMBDA_INLINE {
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_vectors; ++k) step(k);
  };
  V shifted[n_vectors], n[n_vectors], r[n_vectors], q[n_vectors];
  // Arguments from -infinity on up to `lowest` end there, where the power of two is an exponent field of 0.
  // NaN stays, and NaN times any power of two is NaN.
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { x[k] = at_least(V::all(C::lowest), x[k]); });
  each([&](std::size_t k)
           SOFTSTEP_LAMBDA_INLINE { shifted[k] = fma(x[k], V::all(C::log2e), V::all(C::shifter)); });
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { n[k] = shifted[k] - V::all(C::shifter); });
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { r[k] = fma(n[k], V::all(-C::log2_high), x[k]); });
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { r[k] = fma(n[k], V::all(-C::log2_low), r[k]); });
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { q[k] = fma(V::all(C::q[0]), r[k], V::all(C::q[1])); });
  SOFTSTEP_UNROLL
  for (std::size_t i = 2; i < sizeof(C::q) / sizeof(T); ++i)
    each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { q[k] = fma(q[k], r[k], V::all(C::q[i])); });
  each([&](std::size_t k) SOFTSTEP_LAMBDA_INLINE { q[k] = fma(r[k] * r[k], q[k], r[k]); });
  each([&](std::size_t k)
           SOFTSTEP_LAMBDA_INLINE { x[k] = (V::all(T(1)) + q[k]) * power_of_two(shifted[k]); });
}

template <class T>
SOFTSTEP_INLINE Vec<T> exp_nonpositive(Vec<T> x) {
  Vec<T> one[1] = {x};
  exp_nonpositive(one);
  return one[0];
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
