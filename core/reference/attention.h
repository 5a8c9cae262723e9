#pragma once

// Softmax attention of one sample, forward and backward, from its definition and in pairwise form:
//
//   p_t = e^(s_t) / sum_k e^(s_k)           gamma_t - gamma_k = gap_k - gap_t,  gap_t = gamma_opt - gamma_t
//   gamma_opt - m = sum_t p_t gap_t         1 - p_opt = sum_{t != opt} p_t
//   r_t = p_t sum_k p_k (gamma_t - gamma_k)                         (without the loss derivative l'(m))
//   g   = sum_t r_t x_t
//
// Nothing is subtracted from nearly its own size: the sums of the gap and of 1 - p_opt have one sign, and the
// pairs of r_t differ by given numbers only. So there is no case and no threshold, whatever the scores.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct Attention {
  std::vector<Number> relative_scores;  ///< z_t = s_t - max s
  std::vector<Number> attention;        ///< p_t
  Number normalizer;                    ///< Z = sum_t e^(z_t)
  Number gap_to_optimal;                ///< gamma_opt - m
  Number one_minus_optimal;             ///< 1 - p_opt
};

template <class Number>
Attention<Number> attention(std::size_t n_tokens, const Number* scores, const Number* gaps,
                            std::size_t optimal) {
  using std::exp;
  Attention<Number> out;
  Number top = scores[0];
  for (std::size_t t = 1; t < n_tokens; ++t)
    if (scores[t] > top) top = scores[t];
  out.normalizer = out.gap_to_optimal = out.one_minus_optimal = Number(0);
  for (std::size_t t = 0; t < n_tokens; ++t) {
    out.relative_scores.push_back(scores[t] - top);
    out.attention.push_back(exp(out.relative_scores[t]));
    out.normalizer += out.attention[t];
  }
  for (std::size_t t = 0; t < n_tokens; ++t) {
    out.attention[t] /= out.normalizer;
    out.gap_to_optimal += out.attention[t] * gaps[t];
    if (t != optimal) out.one_minus_optimal += out.attention[t];
  }
  return out;
}

/// r_t e^-shift. A number type of limited range (long double ends at e^-11355) holds it when the caller names
/// a shift near log |r|: exponents are added before they are taken, the shift to the smaller factor of each
/// pair. With 500 digits and unlimited exponents a shift of 0 does for all.
template <class Number>
std::vector<Number> gradient_weights(const Attention<Number>& a, const Number* gaps, const Number& shift) {
  using std::exp;
  const std::size_t n = a.attention.size();
  std::vector<Number> shifted, weights(n, Number(0));
  for (std::size_t t = 0; t < n; ++t)
    shifted.push_back(exp(Number(a.relative_scores[t] - shift)) / a.normalizer);
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t k = 0; k < t; ++k) {
      if (gaps[t] == gaps[k]) continue;
      const bool t_smaller = a.relative_scores[t] < a.relative_scores[k];
      const std::size_t small = t_smaller ? t : k, large = t_smaller ? k : t;
      const Number pair = shifted[small] * a.attention[large] * (gaps[k] - gaps[t]);
      weights[t] += pair;
      weights[k] -= pair;
    }
  return weights;
}

/// s_t = x_t . v
template <class Number, class T>
std::vector<Number> scores(const T* tokens, std::size_t token_stride, std::size_t n_tokens, std::size_t dim,
                           const Number* v) {
  std::vector<Number> s(n_tokens, Number(0));
  for (std::size_t t = 0; t < n_tokens; ++t)
    for (std::size_t j = 0; j < dim; ++j) s[t] += Number(tokens[t * token_stride + j]) * v[j];
  return s;
}

/// g = sum_t r_t x_t
template <class Number, class T>
std::vector<Number> weighted_sum(const T* tokens, std::size_t token_stride, std::size_t n_tokens,
                                 std::size_t dim, const Number* weights) {
  std::vector<Number> g(dim, Number(0));
  for (std::size_t t = 0; t < n_tokens; ++t)
    for (std::size_t j = 0; j < dim; ++j) g[j] += weights[t] * Number(tokens[t * token_stride + j]);
  return g;
}

}  // namespace softstep::reference
