#pragma once

// One step of the formula that automatic differentiation and published code compute, in the working precision
// T:
//   s = X W z,  p = softmax(s),  m = sum p gamma,  dL/dW = (1/n) sum l'(m) X^T (p * (gamma - m)) z^T

#include <cmath>
#include <cstddef>
#include <vector>

#include "softstep/batch.h"

namespace softstep::program::reproduce {

template <class T>
struct TextbookGradient {
  std::vector<T> gradient;
  T loss = T(0), norm = T(0);
};

/// Logistic loss.
template <class T>
TextbookGradient<T> textbook_gradient(const BatchView<T>& batch, const std::vector<T>& w) {
  const std::size_t d = batch.dim;
  TextbookGradient<T> out;
  out.gradient.assign(d * d, T(0));
  const T n = static_cast<T>(batch.n_samples);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const T* z = batch.query(i);
    const std::size_t n_tokens = batch.tokens_of(i);
    std::vector<T> v(d, T(0)), p(n_tokens, T(0)), gamma(n_tokens, T(0)), row(d, T(0));
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t c = 0; c < d; ++c) v[r] += w[r * d + c] * z[c];
    T top = -std::numeric_limits<T>::infinity(), sum = T(0), m = T(0);
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const T* x = batch.sample(i) + t * batch.row_stride();
      for (std::size_t j = 0; j < d; ++j) {
        p[t] += x[j] * v[j];
        gamma[t] += static_cast<T>(batch.labels[i]) * batch.decoder[j] * x[j];
      }
      top = std::max(top, p[t]);
    }
    for (T& score : p) sum += score = std::exp(score - top);
    for (std::size_t t = 0; t < n_tokens; ++t) m += (p[t] /= sum) * gamma[t];
    out.loss += std::log1p(std::exp(-m)) / n;
    const T slope = -T(1) / (T(1) + std::exp(m)) / n;
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const T* x = batch.sample(i) + t * batch.row_stride();
      for (std::size_t j = 0; j < d; ++j) row[j] += slope * p[t] * (gamma[t] - m) * x[j];
    }
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t c = 0; c < d; ++c) out.gradient[r * d + c] += row[r] * z[c];
  }
  T squared = T(0);
  for (const T g : out.gradient) squared += g * g;
  out.norm = std::sqrt(squared);
  return out;
}

}  // namespace softstep::program::reproduce
