#include "softstep/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {
namespace {

// sum_k f(k) over four interleaved partial sums in a fixed order: short dependency chains, small error, same
// bits always.
template <class F>
double sum_over(std::size_t size, F f) {
  double s0 = 0.0, s1 = 0.0, s2 = 0.0, s3 = 0.0;
  std::size_t k = 0;
  for (; k + 4 <= size; k += 4) {
    s0 += f(k);
    s1 += f(k + 1);
    s2 += f(k + 2);
    s3 += f(k + 3);
  }
  for (; k < size; ++k) s0 += f(k);
  return (s0 + s1) + (s2 + s3);
}

// v = W z
template <class T, class W>
void project(const BatchView<T>& batch, std::size_t i, const W* weights, std::vector<double>& v) {
  const T* z = batch.query(i);
  for (std::size_t r = 0; r < batch.dim; ++r) {
    const W* row = weights + r * batch.dim;
    v[r] = sum_over(batch.dim,
                    [&](std::size_t c) { return static_cast<double>(row[c]) * static_cast<double>(z[c]); });
  }
}

}  // namespace

template <class T>
double frobenius_norm(const T* a, std::size_t size) {
  const double squared =
      sum_over(size, [&](std::size_t k) { return static_cast<double>(a[k]) * static_cast<double>(a[k]); });
  if ((squared > 1e-280 && squared < 1e280) || std::isnan(squared)) return std::sqrt(squared);
  double largest = 0.0;
  for (std::size_t k = 0; k < size; ++k) largest = std::max(largest, std::fabs(static_cast<double>(a[k])));
  if (largest == 0.0 || std::isinf(largest)) return largest;
  return largest * std::sqrt(sum_over(size, [&](std::size_t k) {
           const double x = static_cast<double>(a[k]) / largest;
           return x * x;
         }));
}

template <class A, class B>
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

template <class T, class W>
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

template <class T, class W>
double mean_attention_entropy(const BatchView<T>& batch, const W* weights) {
  std::vector<double> v(batch.dim), s;
  double total = 0.0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    project(batch, i, weights, v);
    s.resize(batch.tokens_of(i));
    for (std::size_t t = 0; t < s.size(); ++t) {
      const T* x = batch.sample(i) + t * batch.row_stride();
      s[t] = sum_over(batch.dim, [&](std::size_t j) { return static_cast<double>(x[j]) * v[j]; });
    }
    const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
    // -sum p log p = log Z - sum p_t z_t with z_t = s_t - s_a and Z = 1 + sum_{t != a} e^z_t: no cancellation
    double others = 0.0, moment = 0.0;
    for (std::size_t t = 0; t < s.size(); ++t) {
      if (t == pivot) continue;
      const double z = s[t] - s[pivot], e = std::exp(z);
      others += e;
      if (e > 0.0 || std::isnan(e)) moment -= e * z;
    }
    total += std::log1p(others) + moment / (1.0 + others);
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
