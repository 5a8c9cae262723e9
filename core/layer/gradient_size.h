#pragma once

// How a gradient's size is reported, whatever it is made of.

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

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

/// The norm of a gradient whose mantissa, the sum of its squares and the exponent are there; an exact zero
/// has exponent -infinity.
template <class T>
void set_norm(const simd::Kernels<T>& kernels, double squared, std::span<T> mantissa, BlockGradient<T>& out) {
  out.norm = mantissa_norm(kernels, squared, mantissa.data(), mantissa.size(), out.exponent);
  if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
}
template <class T>
void set_norm(const simd::Kernels<T>& kernels, std::span<T> mantissa, BlockGradient<T>& out) {
  set_norm(kernels, kernels.dot(mantissa.size(), mantissa.data(), mantissa.data()), mantissa, out);
}

/// The norm of a matrix of any size that T holds.
template <class T>
double norm_of_matrix(const simd::Kernels<T>& kernels, std::vector<T> matrix) {
  double exponent = 0.0;
  const double squared = kernels.dot(matrix.size(), matrix.data(), matrix.data());
  const double norm = mantissa_norm(kernels, squared, matrix.data(), matrix.size(), exponent);
  return exponent == 0.0 ? norm : std::ldexp(norm, static_cast<int>(std::lround(exponent / std::log(2.0))));
}

}  // namespace softstep
