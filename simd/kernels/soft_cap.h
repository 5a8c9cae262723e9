#pragma once

// y = cap tanh(x / cap) in place of x, and its derivative 1 - tanh(x / cap)^2. NaN stays; -infinity gives
// -cap and 0. Nothing beyond n_columns of a row is read or written. Raises the flag of an overflow only where
// 2 |x / cap| overflows.
//
// Where |x / cap| < 0.625 a polynomial or quotient of polynomials; above that (1 - e) / (1 + e) with
// e = e^(-2 |x / cap|) < 0.29, so that nothing cancels; the derivative is 4 e / (1 + e)^2 everywhere, right
// also where tanh rounds to 1. Error, where x / cap is a normal number: y within 9 u |y|, the derivative
// within (9 + 4 |x / cap|) u of itself, or 4 times the smallest normal number (tests/simd/test_soft_cap.cpp).
// x / cap is rounded twice, once with 1 / cap. That costs y at most 2 u |y|, because t tanh'(t) <= tanh t,
// and the derivative 4 u |x / cap|. e has 3 u, which make 1.9 u of (1 - e) / (1 + e) and 3 u of the
// derivative; sums, quotient and products are the rest. Below 0.625 what is added to x / cap is 0.13 of the
// result at most, so that its errors count for little; the approximation is right to 0.15 u. Source of the
// coefficients: S. L. Moshier, Cephes library, tanhf.c and tanh.c, 1995.

#include "simd/dispatch.h"
#include "simd/exp.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// (tanh(x) - x) / x as a function of z = x^2, |x| <= 0.625.
template <class T>
SOFTSTEP_INLINE Vec<T> tanh_beyond_linear(Vec<T> z) {
  using V = Vec<T>;
  const auto polynomial = [&](auto... c) SOFTSTEP_LAMBDA_INLINE {
    V sum = V::all(0);
    ((sum = fma(sum, z, V::all(static_cast<T>(c)))), ...);
    return sum;
  };
  if constexpr (sizeof(T) == sizeof(float))
    return z * polynomial(-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1,
                          -3.33332819422e-1);
  else
    return z * polynomial(-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3) /
           polynomial(1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3);
}

template <class T>
void soft_cap(const SoftCapArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V cap = V::all(in.cap), inverse = V::all(T(1) / in.cap), one = V::all(1), small = V::all(T(0.625));
  for (std::size_t r = 0; r < in.n_rows; ++r) {
    T* x = in.x + r * in.ld;
    T* derivative = in.derivative ? in.derivative + r * in.ld : nullptr;
    const auto next = [&](V score, V& slope) SOFTSTEP_LAMBDA_INLINE {
      const V y = score * inverse, size = absolute(y);
      const V e = exp_nonpositive(V::all(-2) * size), high = one / (one + e);
      const V far = (one - e) * high, signed_far = select(less(y, V::all(0)), V::all(0) - far, far);
      slope = V::all(4) * e * high * high;
      // Of a finite number also where y is infinite. NaN goes with `far`.
      const V near = select(less(size, small), y, V::all(0));
      const V tanh = select(less(size, small), fma(near, tanh_beyond_linear(near * near), near), signed_far);
      return cap * tanh;
    };
    std::size_t j = 0;
    V slope;
    for (; j + w <= in.n_columns; j += w) {
      next(V::load(x + j), slope).store(x + j);
      if (derivative) slope.store(derivative + j);
    }
    if (const std::size_t n = in.n_columns - j; n != 0) {
      store_part(next(load_part(x + j, n), slope), x + j, n);
      if (derivative) store_part(slope, derivative + j, n);
    }
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
