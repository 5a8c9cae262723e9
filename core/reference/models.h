#pragma once

// The models beside W with a fixed decoder, in a number type of the caller's choice. With g_i the gradient
// rows of reference/objective.h (l'(m_i)/n in them), p_i the attention:
//
//   W = K Q^T    dL/dK = sum_i g_i (Q^T z_i)^T       dL/dQ = sum_i z_i (K^T g_i)^T
//   v_i = p      dL/dp = sum_i g_i
//   decoder      dL/du = (1/n) sum_i l'(m_i) y_i X_i^T p_i
//   logistic     m_i = y_i w^T x_i     L = (1/n) sum_i l(m_i)     dL/dw = (1/n) sum_i l'(m_i) y_i x_i

#include <cstddef>
#include <vector>

#include "core/reference/objective.h"

namespace softstep::reference {

/// A B^T, A n x rank and B m x rank.
template <class Number, class A, class B>
std::vector<Number> product_of_factors(const A* a, const B* b, std::size_t n, std::size_t m,
                                       std::size_t rank) {
  std::vector<Number> c(n * m, Number(0));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < m; ++j)
      for (std::size_t k = 0; k < rank; ++k)
        c[i * m + j] += Number(a[i * rank + k]) * Number(b[j * rank + k]);
  return c;
}

/// sum_i left_i (F^T right_i)^T, dim x rank
template <class Number, class T>
std::vector<Number> through_factor(const std::vector<std::vector<Number>>& left,
                                   const std::vector<std::vector<Number>>& right, const T* factor,
                                   std::size_t dim, std::size_t rank) {
  std::vector<Number> out(dim * rank, Number(0));
  for (std::size_t i = 0; i < left.size(); ++i)
    for (std::size_t k = 0; k < rank; ++k) {
      Number inner(0);
      for (std::size_t j = 0; j < dim; ++j) inner += Number(factor[j * rank + k]) * right[i][j];
      for (std::size_t j = 0; j < dim; ++j) out[j * rank + k] += left[i][j] * inner;
    }
  return out;
}

template <class Number>
std::vector<Number> prompt_gradient(const Problem<Number>& problem,
                                    const std::vector<SampleValue<Number>>& values) {
  std::vector<Number> out(problem.dim, Number(0));
  for (const SampleValue<Number>& value : values)
    for (std::size_t j = 0; j < problem.dim; ++j) out[j] += value.row[j];
  return out;
}

/// Of one sample: l'(m)/n y X^T p.
template <class Number>
std::vector<Number> decoder_row(const Problem<Number>& problem, std::size_t i, int label,
                                const SampleValue<Number>& value) {
  using std::exp;
  const Sample<Number>& sample = problem.samples[i];
  const Number slope = Number(-label) * value.slope * exp(Number(-value.slope_shift));
  std::vector<Number> out(problem.dim, Number(0));
  for (std::size_t t = 0; t < sample.n_tokens; ++t)
    for (std::size_t j = 0; j < problem.dim; ++j)
      out[j] += slope * value.attention.attention[t] * sample.tokens[t * problem.dim + j];
  return out;
}

/// -l'(m)
template <class Number>
Number loss_slope(Loss loss, const Number& m) {
  using std::exp;
  if (loss == Loss::exponential) return exp(Number(-m));
  return m > 0 ? Number(exp(Number(-m)) / (1 + exp(Number(-m)))) : Number(1 / (1 + exp(m)));
}

}  // namespace softstep::reference
