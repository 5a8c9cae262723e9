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

template <class T>
SOFTSTEP_INLINE Vec<T> exp_nonpositive(Vec<T> x) {
  using C = ExpConstants<T>;
  using V = Vec<T>;
  // Arguments from -infinity on up to `lowest` end there, where the power of two is an exponent field of 0.
  // NaN stays, and NaN times any power of two is NaN.
  const V inside = at_least(V::all(C::lowest), x);
  const V shifted = fma(inside, V::all(C::log2e), V::all(C::shifter));
  const V n = shifted - V::all(C::shifter);
  const V r = fma(n, V::all(-C::log2_low), fma(n, V::all(-C::log2_high), inside));
  V q = V::all(C::q[0]);
  for (std::size_t i = 1; i < sizeof(C::q) / sizeof(T); ++i) q = fma(q, r, V::all(C::q[i]));
  const V p = V::all(T(1)) + fma(r * r, q, r);
  return p * power_of_two(shifted);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
