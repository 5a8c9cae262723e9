#pragma once

// The kernels of attention over heads, as kernels.h has the others: elements and rows from their definitions,
// in any number type.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/kernels.h"

namespace softstep::reference {

/// scale x, one element of pack_rows.
template <class Number, class T>
Number pack_rows(T scale, T x) {
  return Number(scale) * Number(x);
}

/// Entry (row, col) of the transposed matrix.
template <class T>
T transpose(std::size_t row, std::size_t col, const T* in, std::ptrdiff_t stride) {
  return in[static_cast<std::ptrdiff_t>(col) * stride + static_cast<std::ptrdiff_t>(row)];
}

/// Entry (row, col) of A' B, A' of k columns, B in panels of `panel_rows` rows and `panel_columns` columns.
template <class Number, class T>
Number product_panels(std::size_t row, std::size_t col, std::size_t k, const T* a, std::size_t lda,
                      bool transposed, const T* panels, std::size_t panel_rows, std::size_t panel_columns) {
  Number sum(0);
  const T* panel = panels + col / panel_columns * panel_rows * panel_columns;
  for (std::size_t l = 0; l < k; ++l)
    sum += Number(transposed ? a[l * lda + row] : a[row * lda + l]) *
           Number(panel[l * panel_columns + col % panel_columns]);
  return sum;
}

/// x_t . v
template <class Number, class T>
Number row_scores(std::size_t t, std::size_t dim, const T* rows, std::size_t stride, const T* v) {
  return dot<Number>(dim, rows + t * stride, v);
}

/// Entry j of sum_t r_t x_t.
template <class Number, class T>
Number weighted_rows(std::size_t j, std::size_t n_rows, const T* rows, std::size_t stride, const T* r) {
  Number sum(0);
  for (std::size_t t = 0; t < n_rows; ++t) sum += Number(r[t]) * Number(rows[t * stride + j]);
  return sum;
}

/// cap tanh(x / cap) and its derivative 1 / cosh^2(x / cap).
template <class Number>
struct Capped {
  Number value, derivative;
};
template <class Number, class T>
Capped<Number> soft_cap(T cap, T x) {
  using std::exp;
  using std::fabs;
  using std::tanh;
  const Number y = Number(x) / Number(cap);
  // cosh overflows where its inverse is a number still.
  const Number e = exp(Number(-2) * Number(fabs(y)));
  return {Number(cap) * Number(tanh(y)), Number(4) * e / ((Number(1) + e) * (Number(1) + e))};
}

/// What softmax_rows knows of a row after n keys, -infinity where hidden: the first key with the largest
/// score, n if none is seen; the largest score beside it; the sum over the others of e^(s_j - second).
template <class Number, class T>
struct SoftmaxRow {
  std::size_t pivot;
  T top, second;
  Number rest;
};
template <class Number, class T>
SoftmaxRow<Number, T> softmax_rows(std::size_t n, const T* s) {
  using std::exp;
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  SoftmaxRow<Number, T> out{n, hidden, hidden, Number(0)};
  for (std::size_t j = 0; j < n; ++j)
    if (s[j] > out.top) {
      out.top = s[j];
      out.pivot = j;
    }
  for (std::size_t j = 0; j < n; ++j)
    if (j != out.pivot && s[j] > out.second) out.second = s[j];
  for (std::size_t j = 0; j < n; ++j)
    if (j != out.pivot && s[j] > hidden) out.rest += exp(Number(s[j]) - Number(out.second));
  return out;
}

/// Attention p_j = e^(s_j) / sum_k e^(s_k) of a row and ds_j = p_j sum_k p_k (D_j - D_k), whose sum has no
/// term that hides the others; ds_j over e^shift, so that it is a number of any type.
template <class Number>
struct SoftmaxGradient {
  std::vector<Number> attention, slopes;
};
template <class Number, class T>
SoftmaxGradient<Number> softmax_gradient(std::size_t n, const T* s, const T* slopes, Number shift) {
  using std::exp;
  const SoftmaxRow<Number, T> row = softmax_rows<Number>(n, s);
  SoftmaxGradient<Number> out;
  Number sum(0);
  for (std::size_t j = 0; j < n; ++j) sum += exp(Number(s[j]) - Number(row.top));
  for (std::size_t j = 0; j < n; ++j) out.attention.push_back(exp(Number(s[j]) - Number(row.top)) / sum);
  // Each pair once, the shift taken from the smaller of its two.
  out.slopes.assign(n, Number(0));
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t k = 0; k < j; ++k) {
      const std::size_t low = s[j] < s[k] ? j : k, high = low == j ? k : j;
      const Number pair = exp(Number(s[low]) - Number(row.top) - shift) / sum * out.attention[high] *
                          (Number(slopes[j]) - Number(slopes[k]));
      out.slopes[j] += pair;
      out.slopes[k] -= pair;
    }
  return out;
}

}  // namespace softstep::reference
