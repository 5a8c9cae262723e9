#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/objective/gradient_size.h"
#include "core/objective/loss.h"
#include "softstep/model.h"

namespace softstep {

/// (1/n) sum_i l'(m_i) y_i v_i over n samples, l' as mantissa and exponent: the gradient of a linear part. margin(i), label(i) and
/// vector(i), of `dim` entries, are the sample's.
template <class T, class Margin, class Label, class Vector>
void sum_slopes(Loss loss, std::size_t n, std::size_t dim, Margin margin, Label label, Vector vector,
                const simd::Kernels<T>& kernels, BlockGradient<T>& out) {
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < n; ++i) top = std::max(top, loss_slope(loss, margin(i)).exponent);
  std::vector<double> sum(dim, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const Scaled slope = loss_slope(loss, margin(i));  // of -l'
    const double sign = label(i) < 0 ? 1.0 : -1.0;
    const double factor = sign * slope.mantissa * std::exp(slope.exponent - top) / static_cast<double>(n);
    const T* v = vector(i);
    for (std::size_t j = 0; j < dim; ++j) sum[j] += factor * static_cast<double>(v[j]);
  }
  out.values.assign(sum.begin(), sum.end());
  out.exponent = top;
  out.norm = finished_norm(kernels, out.values, out.exponent);
}

}  // namespace softstep
