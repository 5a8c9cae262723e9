#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/losses/loss_of.h"
#include "softstep/model.h"

namespace softstep {

/// (1/n) sum_i l'(m_i) y_i v_i over n samples, l' as mantissa and exponent: the gradient of a linear part. margin(i), target(i),
/// sign(i) and vector(i), of `dim` entries, are the sample's. `sum`: work space of dim numbers.
template <class T, class Margin, class Target, class Sign, class Vector>
void sum_slopes(const LossOf& loss, std::size_t n, std::size_t dim, Margin margin, Target target, Sign sign,
                Vector vector, const simd::Kernels<T>& kernels, std::vector<double>& sum,
                BlockGradient<T>& out) {
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < n; ++i) top = std::max(top, loss.slope(margin(i), target(i)).exponent);
  sum.assign(dim, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    const Scaled slope = loss.slope(margin(i), target(i));  // of -l'
    const double factor = -sign(i) * slope.mantissa * std::exp(slope.exponent - top) / static_cast<double>(n);
    const T* v = vector(i);
    for (std::size_t j = 0; j < dim; ++j) sum[j] += factor * static_cast<double>(v[j]);
  }
  const std::span<T> mantissa = out.room(dim);
  std::transform(sum.begin(), sum.end(), mantissa.begin(), [](double x) { return static_cast<T>(x); });
  out.exponent = top;
  set_norm(kernels, mantissa, out);
}

}  // namespace softstep
