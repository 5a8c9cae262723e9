#pragma once

// From a sum in double to a gradient in the type of the run.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/layer/gradient_size.h"
#include "softstep/model.h"

namespace softstep {

/// dL/d(block) = -sum e^exponent. Brought near 1 in double, so that T holds it.
template <class T>
void write_descent(const std::vector<double>& sum, double exponent, const simd::Kernels<T>& kernels,
                   BlockGradient<T>& out) {
  double largest = 0.0;
  for (const double x : sum) largest = std::fabs(x) <= largest ? largest : std::fabs(x);
  const int power = largest > 0.0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
  const std::span<T> mantissa = out.room(sum.size());
  for (std::size_t j = 0; j < mantissa.size(); ++j) mantissa[j] = static_cast<T>(-std::ldexp(sum[j], -power));
  out.exponent = exponent + power * std::log(2.0);
  set_norm(kernels, mantissa, out);
}

}  // namespace softstep
