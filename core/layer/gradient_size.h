#pragma once

// How a gradient's size is reported, whatever it is made of.

#include <algorithm>
#include <limits>
#include <span>

#include "core/layer/mantissa.h"
#include "softstep/model.h"

namespace softstep {

/// False if the exponent C says that the gradient needs no product: every row is zero, or one is NaN.
inline bool has_rows(double exponent) { return exponent > -std::numeric_limits<double>::infinity(); }

/// Fills in what a gradient without rows is: mantissa and norm.
template <class T>
void fill_without_rows(BlockGradient<T>& out, std::span<T> mantissa) {
  const bool zero = out.exponent == -std::numeric_limits<double>::infinity();
  std::fill(mantissa.begin(), mantissa.end(), zero ? T(0) : std::numeric_limits<T>::quiet_NaN());
  out.norm = zero ? 0.0 : out.exponent;
}

/// The norm of a gradient whose mantissa, the sum of its squares and the exponent are there; an exact zero has exponent -infinity.
template <class T>
void set_norm(const simd::Kernels<T>& kernels, double squared, std::span<T> mantissa, BlockGradient<T>& out) {
  out.norm = mantissa_norm(kernels, squared, mantissa.data(), mantissa.size(), out.exponent);
  if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
}
template <class T>
void set_norm(const simd::Kernels<T>& kernels, std::span<T> mantissa, BlockGradient<T>& out) {
  set_norm(kernels, kernels.dot(mantissa.size(), mantissa.data(), mantissa.data()), mantissa, out);
}

}  // namespace softstep
