#pragma once

// Softmax attention of many queries, forward and backward, from its definition, one pair of heads at a time:
//
//   s_ij = c tanh(scale q_i . k_j / c) + bias_ij        p_ij = e^(s_ij) / sum_k e^(s_ik), keys that i may see
//   o_i  = sum_j p_ij v_j                               log_sum_exp_i = log sum_j e^(s_ij)
//   D_ij = dO_i . v_j
//   dS_ij = p_ij sum_k p_ik (D_ij - D_ik)               dX_ij = dS_ij (1 - tanh^2(scale q_i . k_j / c))
//   dQ_i = scale sum_j dX_ij k_j    dK_j = scale sum_i dX_ij q_i    dV_j = sum_i p_ij dO_i    dBias = dS
//
// The pairs of dS differ by numbers of the data only, so nothing is subtracted from nearly its own size,
// whatever the scores. A row of dS is kept divided by e^c of its own, c the second largest score less the
// largest.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace softstep::reference {

template <class Number>
struct Matrix {
  std::size_t n_rows = 0, n_cols = 0;
  std::vector<Number> numbers = {};

  Matrix() = default;
  Matrix(std::size_t rows, std::size_t cols) : n_rows(rows), n_cols(cols), numbers(rows * cols, Number(0)) {}
  Number& operator()(std::size_t r, std::size_t c) { return numbers[r * n_cols + c]; }
  const Number& operator()(std::size_t r, std::size_t c) const { return numbers[r * n_cols + c]; }
};

/// One head of queries beside one head of keys, without padding.
template <class Number>
struct Head {
  Matrix<Number> queries, keys, values;
  Matrix<Number> bias;  ///< of no rows: none
  Matrix<char> seen;    ///< [query][key]: 1 if the query may see the key
  Number scale = Number(1);
  Number soft_cap = Number(0);  ///< 0: none
};

/// Whether query i of m may see key j of n by its place. Mask: `causal`, `before` and `after`, as in
/// softstep/attention.h.
template <class Mask>
bool sees(const Mask& mask, std::size_t i, std::size_t m, std::size_t j, std::size_t n) {
  const std::int64_t beside =
      static_cast<std::int64_t>(i) + static_cast<std::int64_t>(n) - static_cast<std::int64_t>(m);
  const std::int64_t behind = static_cast<std::int64_t>(j) - beside;
  if (behind > 0) return !mask.causal && !(mask.after && static_cast<std::size_t>(behind) > *mask.after);
  return !(mask.before && static_cast<std::size_t>(-behind) > *mask.before);
}

/// One query.
template <class Number>
struct HeadRow {
  std::vector<std::size_t> keys;  ///< those that it sees
  std::vector<Number> raw;        ///< scale q . k of these
  std::vector<Number> scores;     ///< s
  std::vector<Number> cap_slope;  ///< ds / d raw
  std::vector<Number> attention;  ///< p
  std::size_t pivot = 0;          ///< place in `keys` of the first largest score
  Number top, normalizer;         ///< largest score; sum e^(s - top)
  Number exponent = Number(0);    ///< second largest score less the largest; 0 if it sees less than two keys
};

template <class Number>
HeadRow<Number> head_row(const Head<Number>& head, std::size_t i) {
  using std::exp;
  using std::tanh;
  HeadRow<Number> row;
  for (std::size_t j = 0; j < head.keys.n_rows; ++j) {
    if (head.seen(i, j) == 0) continue;
    Number raw(0), score, slope(1);
    for (std::size_t l = 0; l < head.keys.n_cols; ++l) raw += head.queries(i, l) * head.keys(j, l);
    raw *= head.scale;
    score = raw;
    if (head.soft_cap != 0) {
      const Number argument = raw / head.soft_cap;
      score = head.soft_cap * tanh(argument);
      // 1 - tanh^2 without its cancellation
      const Number twice = argument < 0 ? Number(2 * argument) : Number(-2 * argument), e = exp(twice);
      slope = 4 * e / ((1 + e) * (1 + e));
    }
    if (head.bias.n_rows != 0) score += head.bias(i, j);
    row.keys.push_back(j);
    row.raw.push_back(raw);
    row.scores.push_back(score);
    row.cap_slope.push_back(slope);
  }
  const std::size_t n = row.keys.size();
  if (n == 0) return row;
  for (std::size_t j = 1; j < n; ++j)
    if (row.scores[j] > row.scores[row.pivot]) row.pivot = j;
  row.top = row.scores[row.pivot];
  bool first = true;
  for (std::size_t j = 0; j < n; ++j)
    if (j != row.pivot) {
      const Number below = row.scores[j] - row.top;
      if (first || below > row.exponent) row.exponent = below;
      first = false;
    }
  row.normalizer = Number(0);
  for (std::size_t j = 0; j < n; ++j) {
    row.attention.push_back(exp(Number(row.scores[j] - row.top)));
    row.normalizer += row.attention[j];
  }
  for (Number& p : row.attention) p /= row.normalizer;
  return row;
}

/// dS_j / e^exponent of the keys that the row sees, for D_j. Exponents are added before they are taken, to
/// the smaller factor of each pair, so that a number type of limited range holds what matters.
template <class Number>
std::vector<Number> score_gradient(const HeadRow<Number>& row, const std::vector<Number>& d) {
  using std::exp;
  const std::size_t n = row.keys.size();
  std::vector<Number> shifted, gradient(n, Number(0));
  for (std::size_t j = 0; j < n; ++j)
    shifted.push_back(j == row.pivot
                          ? Number(0)
                          : Number(exp(Number(row.scores[j] - row.top - row.exponent)) / row.normalizer));
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t k = 0; k < j; ++k) {
      // The pivot has the larger factor of any pair that it is in.
      const bool j_smaller = k == row.pivot || (j != row.pivot && row.scores[j] < row.scores[k]);
      const std::size_t small = j_smaller ? j : k, large = j_smaller ? k : j;
      const Number pair = shifted[small] * row.attention[large] * (d[j] - d[k]);
      gradient[j] += pair;
      gradient[k] -= pair;
    }
  return gradient;
}

template <class Number>
std::vector<HeadRow<Number>> head_rows(const Head<Number>& head) {
  std::vector<HeadRow<Number>> rows;
  for (std::size_t i = 0; i < head.queries.n_rows; ++i) rows.push_back(head_row(head, i));
  return rows;
}

template <class Number>
Matrix<Number> outputs(const Head<Number>& head, const std::vector<HeadRow<Number>>& rows) {
  Matrix<Number> out(head.queries.n_rows, head.values.n_cols);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows[i].keys.size(); ++j)
      for (std::size_t l = 0; l < head.values.n_cols; ++l)
        out(i, l) += rows[i].attention[j] * head.values(rows[i].keys[j], l);
  return out;
}

/// Of a row that sees a key.
template <class Number>
Number log_sum_exp(const HeadRow<Number>& row) {
  using std::log;
  return row.top + log(row.normalizer);
}

/// D_ij of the keys that row i sees.
template <class Number>
std::vector<Number> value_products(const Head<Number>& head, const HeadRow<Number>& row,
                                   const Matrix<Number>& output_gradient, std::size_t i) {
  std::vector<Number> d(row.keys.size(), Number(0));
  for (std::size_t j = 0; j < d.size(); ++j)
    for (std::size_t l = 0; l < head.values.n_cols; ++l)
      d[j] += output_gradient(i, l) * head.values(row.keys[j], l);
  return d;
}

/// dQ_i / e^(exponent of row i), and what one head of queries adds to dK / e^key_exponent and dV; dS_i /
/// e^(exponent of row i).
template <class Number>
struct HeadGradients {
  Matrix<Number> queries, keys, values, scores;
};

template <class Number>
HeadGradients<Number> gradients(const Head<Number>& head, const std::vector<HeadRow<Number>>& rows,
                                const Matrix<Number>& output_gradient, const Number& key_exponent) {
  using std::exp;
  const std::size_t n_queries = head.queries.n_rows, n_keys = head.keys.n_rows, dim = head.keys.n_cols,
                    value_dim = head.values.n_cols;
  HeadGradients<Number> out{Matrix<Number>(n_queries, dim), Matrix<Number>(n_keys, dim),
                            Matrix<Number>(n_keys, value_dim), Matrix<Number>(n_queries, n_keys)};
  for (std::size_t i = 0; i < n_queries; ++i) {
    const HeadRow<Number>& row = rows[i];
    const std::vector<Number> ds = score_gradient(row, value_products(head, row, output_gradient, i));
    const Number key_unit = exp(Number(row.exponent - key_exponent));
    for (std::size_t j = 0; j < row.keys.size(); ++j) {
      const std::size_t key = row.keys[j];
      const Number dx = head.scale * ds[j] * row.cap_slope[j];
      for (std::size_t l = 0; l < dim; ++l) {
        out.queries(i, l) += dx * head.keys(key, l);
        out.keys(key, l) += key_unit * dx * head.queries(i, l);
      }
      for (std::size_t l = 0; l < value_dim; ++l)
        out.values(key, l) += row.attention[j] * output_gradient(i, l);
      out.scores(i, key) = ds[j];
    }
  }
  return out;
}

}  // namespace softstep::reference
