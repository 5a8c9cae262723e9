#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/ranks/in_order.h"
#include "softstep/model.h"

namespace softstep {

/// (1/n) sum_i l'(m_i) y_i v_i over n samples: the gradient of a linear part. slope(i), which is -l'(m_i),
/// sign(i) and vector(i), of `dim` entries, are the sample's. `sum`: work space of dim numbers. With ranks n
/// are the samples of this one, and n_of_all those of all.
template <class T, class Slope, class Sign, class Vector>
void sum_slopes(Ranks* ranks, std::size_t n, std::size_t n_of_all, std::size_t dim, Slope slope, Sign sign,
                Vector vector, const simd::Kernels<T>& kernels, std::vector<double>& sum,
                BlockGradient<T>& out) {
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < n; ++i) top = std::max(top, slope(i).exponent);
  if (are_several(ranks)) top = largest_of_ranks(ranks, top);
  sum.assign(dim, 0.0);
  add_over_ranks(ranks, std::span<double>(sum), [&] {
    for (std::size_t i = 0; i < n; ++i) {
      const Scaled of_sample = slope(i);
      const double factor =
          -sign(i) * of_sample.mantissa * std::exp(of_sample.exponent - top) / static_cast<double>(n_of_all);
      const T* v = vector(i);
      for (std::size_t j = 0; j < dim; ++j) sum[j] += factor * static_cast<double>(v[j]);
    }
  });
  const std::span<T> mantissa = out.room(dim);
  std::transform(sum.begin(), sum.end(), mantissa.begin(), [](double x) { return static_cast<T>(x); });
  out.exponent = top;
  set_norm(kernels, mantissa, out);
}

template <class T, class Slope, class Sign, class Vector>
void sum_slopes(std::size_t n, std::size_t dim, Slope slope, Sign sign, Vector vector,
                const simd::Kernels<T>& kernels, std::vector<double>& sum, BlockGradient<T>& out) {
  sum_slopes(nullptr, n, n, dim, slope, sign, vector, kernels, sum, out);
}

}  // namespace softstep
