#pragma once

// Scores of tokens in double, one at a time: for metrics, where right matters more than fast.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "softstep/batch.h"

namespace softstep {

/// sum_k f(k) over four interleaved partial sums in a fixed order: short dependency chains, small error, same
/// bits always.
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

inline void require_size(const char* name, std::size_t size, std::size_t needed, const char* of) {
  if (size != needed)
    throw InvalidArgument(
        name, std::to_string(size) + " entries (need " + of + " = " + std::to_string(needed) + ")");
}

/// W must be dim x dim.
template <class T, class W>
void require_weights(const BatchView<T>& batch, std::span<const W> weights) {
  require_size("weights", weights.size(), batch.dim * batch.dim, "dim * dim");
}

/// One token for each sample.
template <class T>
void require_choice(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                    const char* name = "chosen") {
  if (chosen.size() != batch.n_samples)
    throw InvalidArgument(name, std::to_string(chosen.size()) + " tokens (need one for each of the " +
                                    std::to_string(batch.n_samples) + " samples)");
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i] >= batch.tokens_of(i))
      throw InvalidArgument(name, "sample " + std::to_string(i) + ": " + std::to_string(chosen[i]) +
                                      " (need 0 to " + std::to_string(batch.tokens_of(i) - 1) + ")");
}

/// v = W z_i
template <class T, class W>
void project(const BatchView<T>& batch, std::size_t i, std::span<const W> weights, std::vector<double>& v) {
  const T* z = batch.query(i);
  for (std::size_t r = 0; r < batch.dim; ++r) {
    const W* row = weights.data() + r * batch.dim;
    v[r] = sum_over(batch.dim,
                    [&](std::size_t c) { return static_cast<double>(row[c]) * static_cast<double>(z[c]); });
  }
}

/// s_t = x_it^T v for every token of sample i
template <class T>
void score_sample(const BatchView<T>& batch, std::size_t i, const std::vector<double>& v,
                  std::vector<double>& s) {
  s.resize(batch.tokens_of(i));
  for (std::size_t t = 0; t < s.size(); ++t) {
    const T* x = batch.sample(i) + t * batch.row_stride();
    s[t] = sum_over(batch.dim, [&](std::size_t j) { return static_cast<double>(x[j]) * v[j]; });
  }
}

/// -sum_t p_t log p_t of p = softmax(s) = log Z - sum_t p_t z_t with z_t = s_t - s_a and Z = 1 + sum_{t != a}
/// e^z_t: no cancellation.
inline double attention_entropy(const std::vector<double>& s) {
  const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
  double others = 0.0, moment = 0.0;
  for (std::size_t t = 0; t < s.size(); ++t) {
    if (t == pivot) continue;
    const double z = s[t] - s[pivot], e = std::exp(z);
    others += e;
    if (e > 0.0 || std::isnan(e)) moment -= e * z;
  }
  return std::log1p(others) + moment / (1.0 + others);
}

}  // namespace softstep
