#include "softstep/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/metrics/token_products.h"

namespace softstep {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <class T>
double norm_of(std::span<const T> a) {
  const std::size_t size = a.size();
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

// Of arrays whose norms are these, far from the ends of the range.
template <class A, class B>
Direction direction_of_near(std::span<const A> a, double norm_a, std::span<const B> b, double norm_b) {
  const std::size_t size = a.size();
  // What is no number has no direction, beside zeros neither.
  if (!std::isfinite(norm_a) || !std::isfinite(norm_b)) return {not_a_number, not_a_number};
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

template <class A, class B>
Direction direction_of(std::span<const A> a, std::span<const B> b) {
  require_size("b", b.size(), a.size(), "the size of a");
  const double norm_a = norm_of(a), norm_b = norm_of(b);
  // Near the ends of the range a norm has few digits, or is infinite and its numbers are not.
  const int power_a = power_towards_one(norm_a), power_b = power_towards_one(norm_b);
  if (power_a == 0 && power_b == 0) return direction_of_near(a, norm_a, b, norm_b);
  const std::vector<double> near_a = times_power(a, power_a), near_b = times_power(b, power_b);
  const std::span<const double> at_a(near_a), at_b(near_b);
  return direction_of_near(at_a, norm_of(at_a), at_b, norm_of(at_b));
}

// Of weights whose norm is far from the ends of the range.
template <class T, class W>
double margin_of_near(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> weights) {
  const data::BatchRows<T> rows(batch);
  const std::vector<std::size_t> optimal = choice_by_row(rows, scores.optimal);
  const double norm = norm_of(weights);
  double smallest = std::numeric_limits<double>::infinity();
  std::vector<double> v(batch.dim);
  RowsAhead<T> ahead(rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    ahead.reading(row);
    project(rows, row, weights, v);
    const T* best = rows.token(row, optimal[row]);
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t) {
      if (t == optimal[row]) continue;
      const T* x = rows.token(row, t);
      const double margin = sum_over(batch.dim, [&](std::size_t j) {
        return (static_cast<double>(best[j]) - static_cast<double>(x[j])) * v[j];
      });
      if (std::isnan(margin)) return margin;
      smallest = std::min(smallest, margin);
    }
  }
  return smallest / norm;
}

template <class T, class W>
double margin_of(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> weights) {
  require_weights(batch, weights);
  const int power = power_towards_one(norm_of(weights));
  if (power == 0) return margin_of_near(batch, scores, weights);
  return margin_of_near(batch, scores, std::span<const double>(times_power(weights, power)));
}

template <class T, class W>
double entropy_of(const BatchView<T>& batch, std::span<const W> weights) {
  batch.validate();
  require_weights(batch, weights);
  const data::BatchRows<T> rows(batch);
  std::vector<double> v(batch.dim), s;
  double total = 0.0;
  RowsAhead<T> ahead(rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    ahead.reading(row);
    project(rows, row, weights, v);
    score_row(rows, row, v, s);
    total += rows.share(row) * attention_entropy(s);
  }
  return total / static_cast<double>(batch.n_samples);
}

}  // namespace

double frobenius_norm(std::span<const float> a) { return norm_of(a); }
double frobenius_norm(std::span<const double> a) { return norm_of(a); }

Direction compare_direction(std::span<const float> a, std::span<const float> b) { return direction_of(a, b); }
Direction compare_direction(std::span<const float> a, std::span<const double> b) {
  return direction_of(a, b);
}
Direction compare_direction(std::span<const double> a, std::span<const float> b) {
  return direction_of(a, b);
}
Direction compare_direction(std::span<const double> a, std::span<const double> b) {
  return direction_of(a, b);
}

#define SOFTSTEP_METRICS(W)                                                                              \
  template <NumberType T>                                                                                \
  double normalized_margin(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> w) { \
    return margin_of(batch, scores, w);                                                                  \
  }                                                                                                      \
  template <NumberType T>                                                                                \
  double mean_attention_entropy(const BatchView<T>& batch, std::span<const W> w) {                       \
    return entropy_of(batch, w);                                                                         \
  }                                                                                                      \
  template double normalized_margin(const BatchView<float>&, const TokenScores&, std::span<const W>);    \
  template double normalized_margin(const BatchView<double>&, const TokenScores&, std::span<const W>);   \
  template double mean_attention_entropy(const BatchView<float>&, std::span<const W>);                   \
  template double mean_attention_entropy(const BatchView<double>&, std::span<const W>);
SOFTSTEP_METRICS(float)
SOFTSTEP_METRICS(double)
#undef SOFTSTEP_METRICS

}  // namespace softstep
