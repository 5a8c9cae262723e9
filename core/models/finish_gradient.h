#pragma once

#include <algorithm>
#include <limits>

#include "core/objective/mantissa.h"
#include "softstep/model.h"

namespace softstep {

/// Sets the norm of a gradient whose values and exponent are there; an exact zero has exponent -infinity.
template <class T>
void finish_gradient(const simd::Kernels<T>& kernels, BlockGradient<T>& out) {
  out.norm = mantissa_norm(kernels, out.values.data(), out.values.size(), out.exponent);
  if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
}

/// A gradient of this size without a product: exponent -infinity means zero, NaN not a number.
template <class T>
void fill_gradient(BlockGradient<T>& out, std::size_t size, double exponent) {
  const bool zero = exponent == -std::numeric_limits<double>::infinity();
  out.values.assign(size, zero ? T(0) : std::numeric_limits<T>::quiet_NaN());
  out.exponent = exponent;
  out.norm = zero ? 0.0 : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace softstep
