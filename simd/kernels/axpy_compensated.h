#pragma once

// y_i + low_i <- y_i + low_i + a x_i, the weight update where steps are smaller than the rounding of the
// weights: y is the sum rounded to T, and `low` what that rounding left out.
//
//   t = a x + low          y' = fl(y + t)          low' = (y + t) - y', exactly (the two-sum of Knuth, for any order of sizes)
//
// Error: y' + low' = y + t exactly, and |t - (a x + low)| <= u |t|, without fused multiply-add u (|a x| +
// |t|); |low'| <= u |y'|. So one step errs by the rounding of the step, not by that of y
// (tests/simd/test_vector_ops.cpp).
//
// The same bits wherever the arrays are cut. Arrays must not overlap. Traffic: reads 3 n, writes 2 n
// elements. Where y' is not finite low' is NaN.
//
// Source: D. E. Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B.

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void axpy_compensated(std::size_t n, T a, const T* x, T* y, T* low) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V va = V::all(a);
  const auto add = [&](V x_i, V& y_i, V& low_i) SOFTSTEP_LAMBDA_INLINE {
    const V t = fma(va, x_i, low_i), sum = y_i + t, of_t = sum - y_i;
    low_i = (y_i - (sum - of_t)) + (t - of_t);
    y_i = sum;
  };
  std::size_t i = 0;
  for (; i + w <= n; i += w) {
    V high = V::load(y + i), rest = V::load(low + i);
    add(V::load(x + i), high, rest);
    high.store(y + i);
    rest.store(low + i);
  }
  if (i == n) return;
  V high = load_part(y + i, n - i), rest = load_part(low + i, n - i);
  add(load_part(x + i, n - i), high, rest);
  store_part(high, y + i, n - i);
  store_part(rest, low + i, n - i);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
