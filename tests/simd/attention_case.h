#pragma once

// One sample for the attention kernel, in memory that ends at a guard page, and its run on an instruction
// set.

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "simd/dispatch.h"
#include "support/guarded.h"

namespace softstep::test {

template <class T>
struct AttentionCase {
  std::size_t n_tokens, dim, stride, optimal = 0;
  Guarded<T> tokens, query, gaps;

  AttentionCase(std::size_t n, std::size_t d, std::size_t pad)
      : n_tokens(n), dim(d), stride(d + pad), tokens((n - 1) * (d + pad) + d), query(d), gaps(n) {
    for (std::size_t k = 0; k < tokens.size(); ++k)
      tokens[k] = std::numeric_limits<T>::quiet_NaN();  // between rows
  }
  /// Uniform tokens and query, the scores of order `scale`; gaps in [0, 2], 0 at the optimal token.
  void fill(std::mt19937_64& random, double scale) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t t = 0; t < n_tokens; ++t)
      for (std::size_t j = 0; j < dim; ++j) at(t, j) = static_cast<T>(uniform(random));
    const double size =
        scale * std::sqrt(9.0 / static_cast<double>(dim));  // x . v has variance d/9 (size d^-1/2 3)^2
    for (std::size_t j = 0; j < dim; ++j) query[j] = static_cast<T>(size * uniform(random));
    for (std::size_t t = 0; t < n_tokens; ++t) gaps[t] = static_cast<T>(1.0 + uniform(random));
    set_optimal(random() % n_tokens);
  }
  void set_optimal(std::size_t t) {
    optimal = t;
    gaps[t] = T(0);
  }
  T& at(std::size_t t, std::size_t j) { return tokens[t * stride + j]; }
  T at(std::size_t t, std::size_t j) const { return tokens[t * stride + j]; }
};

template <class T>
struct AttentionRun {
  simd::AttentionStats<T> stats;
  std::vector<T> gradient, scores, weights;
  bool untouched = true;  ///< the elements before and after the outputs
};

template <class T>
AttentionRun<T> run(const simd::Isa& isa, const AttentionCase<T>& in, bool want_gradient = true) {
  // One element before each output is a sentinel; after it comes the guard page.
  const auto output = [](std::size_t n) {
    Guarded<T> out(n + 1);
    for (std::size_t k = 0; k <= n; ++k) out[k] = T(77);
    return out;
  };
  Guarded<T> gradient = output(in.dim), scores = output(in.n_tokens), weights = output(in.n_tokens);
  AttentionRun<T> out;
  out.stats = isa.kernels<T>().attention_of(
      {in.tokens.data(), in.stride, in.n_tokens, in.dim, in.query.data(), in.gaps.data(), in.optimal,
       want_gradient ? gradient.data() + 1 : nullptr, scores.data() + 1, weights.data() + 1});
  out.gradient.assign(gradient.data() + 1, gradient.data() + 1 + in.dim);
  out.scores.assign(scores.data() + 1, scores.data() + 1 + in.n_tokens);
  out.weights.assign(weights.data() + 1, weights.data() + 1 + in.n_tokens);
  out.untouched = gradient[0] == T(77) && scores[0] == T(77) && weights[0] == T(77);
  return out;
}

}  // namespace softstep::test
