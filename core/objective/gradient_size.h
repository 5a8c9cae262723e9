#pragma once

// How a gradient's size is reported, whatever it is made of.

#include <algorithm>
#include <limits>
#include <vector>

#include "core/objective/mantissa.h"
#include "softstep/objective.h"

namespace softstep {

/// False if the exponent C says that the gradient needs no product: every row is zero, or one is NaN.
inline bool has_rows(double exponent) { return exponent > -std::numeric_limits<double>::infinity(); }

/// True if it has none. Then values (of the right size) and norm are filled in.
template <class T>
bool is_without_rows(double exponent, std::vector<T>& values, double& norm) {
  if (has_rows(exponent)) return false;
  const bool zero = exponent == -std::numeric_limits<double>::infinity();
  std::fill(values.begin(), values.end(), zero ? T(0) : std::numeric_limits<T>::quiet_NaN());
  norm = zero ? 0.0 : exponent;
  return true;
}
template <class T>
bool is_without_rows(Evaluation<T>& out) {
  return is_without_rows(out.gradient_exponent, out.gradient, out.gradient_norm);
}

/// The norm of a gradient whose values, the sum of their squares and the exponent are there; an exact zero has exponent -infinity.
template <class T>
double finished_norm(const simd::Kernels<T>& kernels, double squared, std::vector<T>& values,
                     double& exponent) {
  const double norm = mantissa_norm(kernels, squared, values.data(), values.size(), exponent);
  if (norm == 0.0) exponent = -std::numeric_limits<double>::infinity();
  return norm;
}
template <class T>
double finished_norm(const simd::Kernels<T>& kernels, std::vector<T>& values, double& exponent) {
  return finished_norm(kernels, kernels.dot(values.size(), values.data(), values.data()), values, exponent);
}

}  // namespace softstep
