#pragma once

// The layer as it is usually written, all in the working type: softmax with its maximum subtracted, output
// minus token score, loss minus best loss. Right until 1 - p_opt reaches the rounding unit; what follows is
// what this library exists for. For tests and benchmarks only.
//
//   p = softmax(X W z)    m = sum_t p_t gamma_t    r_t = l'(m) p_t (gamma_t - m)    G = (1/n) sum_i X_i^T r_i
//   z_i^T logistic loss l(m) = log(1 + e^-m)             L* = (1/n) sum_i l(max_t gamma_it)

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "softstep/batch.h"

namespace softstep::test {

template <class T>
class Textbook {
 public:
  std::vector<T> weights, gradient;
  T loss = 0, optimal_loss = 0;

  explicit Textbook(const BatchView<T>& batch)
      : weights(batch.dim * batch.dim, T(0)), gradient(batch.dim * batch.dim), batch_(batch) {}

  void evaluate() {
    const std::size_t d = batch_.dim;
    const T n = static_cast<T>(batch_.n_samples);
    std::fill(gradient.begin(), gradient.end(), T(0));
    loss = optimal_loss = 0;
    for (std::size_t i = 0; i < batch_.n_samples; ++i) {
      const std::size_t n_tokens = batch_.tokens_of(i);
      const T* z = batch_.query(i);
      std::vector<T> v(d, T(0)), p(n_tokens, T(0)), gamma(n_tokens, T(0)), g(d, T(0));
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c) v[r] += weights[r * d + c] * z[c];
      T top = 0, best = 0, sum = 0, m = 0;
      for (std::size_t t = 0; t < n_tokens; ++t) {
        const T* x = batch_.sample(i) + t * batch_.row_stride();
        for (std::size_t j = 0; j < d; ++j) {
          p[t] += x[j] * v[j];
          gamma[t] += batch_.decoder[j] * x[j];
        }
        gamma[t] *= static_cast<T>(batch_.labels[i]);
        if (t == 0 || p[t] > top) top = p[t];
        if (t == 0 || gamma[t] > best) best = gamma[t];
      }
      for (T& s : p) sum += s = std::exp(s - top);
      for (std::size_t t = 0; t < n_tokens; ++t) m += (p[t] /= sum) * gamma[t];
      const T slope = T(-1) / (T(1) + std::exp(m));
      for (std::size_t t = 0; t < n_tokens; ++t) {
        const T r = slope * p[t] * (gamma[t] - m) / n;
        for (std::size_t j = 0; j < d; ++j) g[j] += r * batch_.sample(i)[t * batch_.row_stride() + j];
      }
      for (std::size_t r = 0; r < d; ++r)
        for (std::size_t c = 0; c < d; ++c) gradient[r * d + c] += g[r] * z[c];
      loss += std::log1p(std::exp(-m)) / n;
      optimal_loss += std::log1p(std::exp(-best)) / n;
    }
  }

  /// One step of ngd (step size 1) or polyak (factor 2).
  void step(const std::string& rule) {
    evaluate();
    T squared = 0;
    for (const T g : gradient) squared += g * g;
    const T length = rule == "ngd" ? T(1) / std::sqrt(squared) : (loss - optimal_loss) / (T(2) * squared);
    for (std::size_t k = 0; k < weights.size(); ++k) weights[k] -= length * gradient[k];
  }

 private:
  BatchView<T> batch_;
};

}  // namespace softstep::test
