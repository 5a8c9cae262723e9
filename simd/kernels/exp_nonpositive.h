#pragma once

// y_i = exp(x_i) for x_i <= 0; contract and error bound in simd/exp.h. x and y may be the same array.

#include "simd/exp.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void exp_nonpositive(const T* x, T* y, std::size_t n) {
  constexpr std::size_t w = Vec<T>::width;
  std::size_t i = 0;
  for (; i + w <= n; i += w) exp_nonpositive(Vec<T>::load(x + i)).store(y + i);
  if (i < n) store_part(exp_nonpositive(load_part(x + i, n - i)), y + i, n - i);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
