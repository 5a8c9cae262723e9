#pragma once

// How a gradient's size is reported, whatever it is made of.

#include <algorithm>
#include <limits>

#include "core/objective/layer.h"
#include "core/objective/mantissa.h"

namespace softstep {

/// True if C = out.gradient_exponent says that the gradient needs no product: every row is zero, or one is NaN. Then
/// `out` is complete.
template <class T>
bool is_without_rows(Evaluation<T>& out) {
  const double top = out.gradient_exponent;
  if (top > -std::numeric_limits<double>::infinity()) return false;
  const bool zero = top == -std::numeric_limits<double>::infinity();
  std::fill(out.gradient.begin(), out.gradient.end(), zero ? T(0) : std::numeric_limits<T>::quiet_NaN());
  out.gradient_norm = zero ? 0.0 : top;
  return true;
}

template <class T>
void set_gradient_norm(const Layer<T>& layer, Evaluation<T>& out) {
  out.gradient_norm =
      mantissa_norm(layer.kernels, out.gradient.data(), out.gradient.size(), out.gradient_exponent);
  if (out.gradient_norm == 0.0) out.gradient_exponent = -std::numeric_limits<double>::infinity();
}

}  // namespace softstep
