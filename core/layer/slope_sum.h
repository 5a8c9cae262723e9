#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <span>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/layer/units.h"
#include "core/ranks/in_order.h"
#include "softstep/model.h"

namespace softstep {

/// A sum in double as the mantissa of a gradient; over a power of two where it is far from 1 and T may not
/// hold it.
template <class T>
void write_sum(const std::vector<double>& sum, double exponent, const simd::Kernels<T>& kernels,
               BlockGradient<T>& out) {
  double largest = 0.0;
  for (const double x : sum) largest = std::max(largest, std::fabs(x));
  const int size = power_of(largest),
            power = std::abs(size) > std::numeric_limits<T>::max_exponent / 2 ? size : 0;
  const std::span<T> mantissa = out.room(sum.size());
  std::transform(sum.begin(), sum.end(), mantissa.begin(), [&](double x) { return in_units<T>(x, -power); });
  out.exponent = exponent + power * std::log(2.0);
  set_norm(kernels, mantissa, out);
}

/// (1/n) sum_i l'(m_i) y_i v_i over n samples: the gradient of a linear part. slope(i), which is -l'(m_i),
/// sign(i) and vector(i), of `dim` entries, are the sample's. `sum`: work space of dim numbers. With ranks n
/// are the samples of this one, and n_of_all those of all.
template <class T, class Slope, class Sign, class Vector>
void sum_slopes(Ranks* ranks, std::size_t n, std::size_t n_of_all, std::size_t dim, Slope slope, Sign sign,
                Vector vector, const simd::Kernels<T>& kernels, std::vector<double>& sum,
                BlockGradient<T>& out) {
  // The slope of a squared loss is of the size of the data; times a vector it may leave the range.
  struct Sizes {
    double top = -std::numeric_limits<double>::infinity(), largest = 0.0;
    void add(const Sizes& other) {
      top = std::max(top, other.top);
      largest = std::max(largest, other.largest);
    }
  };
  Sizes sizes;
  for (std::size_t i = 0; i < n; ++i) {
    const Scaled of_sample = slope(i);
    sizes.add({of_sample.exponent, std::fabs(of_sample.mantissa)});
  }
  if (are_several(ranks))
    for (const Sizes& of_rank : gathered(ranks, sizes)) sizes.add(of_rank);
  const double top = sizes.top;
  const int power = coarse_power<double>(sizes.largest);
  sum.assign(dim, 0.0);
  add_over_ranks(ranks, std::span<double>(sum), [&] {
    for (std::size_t i = 0; i < n; ++i) {
      const Scaled of_sample = slope(i);
      const double factor = -sign(i) * in_units<double>(of_sample.mantissa, -power) *
                            std::exp(of_sample.exponent - top) / static_cast<double>(n_of_all);
      const T* v = vector(i);
      for (std::size_t j = 0; j < dim; ++j) sum[j] += factor * static_cast<double>(v[j]);
    }
  });
  write_sum(sum, top + power * std::log(2.0), kernels, out);
}

template <class T, class Slope, class Sign, class Vector>
void sum_slopes(std::size_t n, std::size_t dim, Slope slope, Sign sign, Vector vector,
                const simd::Kernels<T>& kernels, std::vector<double>& sum, BlockGradient<T>& out) {
  sum_slopes(nullptr, n, n, dim, slope, sign, vector, kernels, sum, out);
}

}  // namespace softstep
