#pragma once

// From a sum in double to a gradient in the type of the run.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/layer/units.h"
#include "softstep/model.h"

namespace softstep {

/// dL/d(block) = sign sum e^exponent, sign = -1 for a sum that leads downhill. Brought near 1 in double, so
/// that T holds it.
template <class T>
void write_gradient(double sign, const std::vector<double>& sum, double exponent,
                    const simd::Kernels<T>& kernels, BlockGradient<T>& out) {
  double largest = 0.0;
  for (const double x : sum) largest = std::fabs(x) <= largest ? largest : std::fabs(x);
  const int power = power_of(largest);
  const std::span<T> mantissa = out.room(sum.size());
  for (std::size_t j = 0; j < mantissa.size(); ++j)
    mantissa[j] = static_cast<T>(sign * std::ldexp(sum[j], -power));
  out.exponent = exponent + power * std::log(2.0);
  set_norm(kernels, mantissa, out);
}

}  // namespace softstep
