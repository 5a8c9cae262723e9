#include "softstep/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/metrics/token_products.h"

namespace softstep {
template <NumberType T>
double frobenius_norm(const T* a, std::size_t size) {
  const double squared =
      sum_over(size, [&](std::size_t k) { return static_cast<double>(a[k]) * static_cast<double>(a[k]); });
  if ((squared > 1e-280 && squared < 1e280) || std::isnan(squared)) return std::sqrt(squared);
  double largest = 0.0;
  for (std::size_t k = 0; k < size; ++k) largest = std::max(largest, std::fabs(static_cast<double>(a[k])));
  if (largest == 0.0 || std::isinf(largest)) return largest;
  // A power of two leaves every bit of the entries, so that the norm of 2^m a is 2^m times the norm of a.
  const int exponent = std::ilogb(largest);
  return std::ldexp(std::sqrt(sum_over(size,
                                       [&](std::size_t k) {
                                         const double x = std::ldexp(static_cast<double>(a[k]), -exponent);
                                         return x * x;
                                       })),
                    exponent);
}

template <NumberType A, NumberType B>
Direction compare_direction(const A* a, const B* b, std::size_t size) {
  const double norm_a = frobenius_norm(a, size), norm_b = frobenius_norm(b, size);
  if (norm_a == 0.0 || norm_b == 0.0) return {1.0, std::acos(0.0)};
  double squared_difference = 0.0, squared_sum = 0.0;
  squared_difference = sum_over(size, [&](std::size_t k) {
    const double x = static_cast<double>(a[k]) / norm_a - static_cast<double>(b[k]) / norm_b;
    return x * x;
  });
  squared_sum = sum_over(size, [&](std::size_t k) {
    const double x = static_cast<double>(a[k]) / norm_a + static_cast<double>(b[k]) / norm_b;
    return x * x;
  });
  // tan(angle / 2) = |a - b| / |a + b| for unit a and b (W. Kahan, "How futile are mindless assessments of
  // roundoff")
  return {std::min(0.5 * squared_difference, 2.0),
          2.0 * std::atan2(std::sqrt(squared_difference), std::sqrt(squared_sum))};
}

template <NumberType T, NumberType W>
double normalized_margin(const BatchView<T>& batch, const TokenScores& scores, const W* weights) {
  const double norm = frobenius_norm(weights, batch.dim * batch.dim);
  double smallest = std::numeric_limits<double>::infinity();
  std::vector<double> v(batch.dim);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    project(batch, i, weights, v);
    const T* best = batch.sample(i) + scores.optimal[i] * batch.row_stride();
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      if (t == scores.optimal[i]) continue;
      const T* x = batch.sample(i) + t * batch.row_stride();
      const double margin = sum_over(batch.dim, [&](std::size_t j) {
        return (static_cast<double>(best[j]) - static_cast<double>(x[j])) * v[j];
      });
      if (std::isnan(margin)) return margin;
      smallest = std::min(smallest, margin);
    }
  }
  return smallest / norm;
}

template <NumberType T, NumberType W>
double mean_attention_entropy(const BatchView<T>& batch, const W* weights) {
  std::vector<double> v(batch.dim), s;
  double total = 0.0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    project(batch, i, weights, v);
    score_sample(batch, i, v, s);
    total += attention_entropy(s);
  }
  return total / static_cast<double>(batch.n_samples);
}

template double frobenius_norm(const float*, std::size_t);
template double frobenius_norm(const double*, std::size_t);
template Direction compare_direction(const float*, const float*, std::size_t);
template Direction compare_direction(const float*, const double*, std::size_t);
template Direction compare_direction(const double*, const float*, std::size_t);
template Direction compare_direction(const double*, const double*, std::size_t);
template double normalized_margin(const BatchView<float>&, const TokenScores&, const float*);
template double normalized_margin(const BatchView<float>&, const TokenScores&, const double*);
template double normalized_margin(const BatchView<double>&, const TokenScores&, const float*);
template double normalized_margin(const BatchView<double>&, const TokenScores&, const double*);
template double mean_attention_entropy(const BatchView<float>&, const float*);
template double mean_attention_entropy(const BatchView<float>&, const double*);
template double mean_attention_entropy(const BatchView<double>&, const float*);
template double mean_attention_entropy(const BatchView<double>&, const double*);

}  // namespace softstep
