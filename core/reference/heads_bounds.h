#pragma once

// How far attention over heads may be from the truth: derived worst cases, to first order in the unit
// roundoff u (the factor 1.01 stands for the rest). Each line is explained in docs/mathematics.md,
// section 11.3, in whose terms this is written. The numbers are magnitudes, plain double is enough for them.
// A row of dS and dQ is in units of e^c, c its exponent.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/reference/heads.h"

namespace softstep::reference {

/// Of the working type.
struct Rounding {
  double u = 0.0;               ///< unit roundoff
  double smallest = 0.0;        ///< smallest normal number: what is below may count as 0
  bool exact_products = false;  ///< scale q . k is free of rounding in these data, in any order
};

/// K: the roundings that a term of a sum over n keys or queries goes through. n sums, and 5 for each change
/// of a running maximum, of which there is one a block of eight at most.
inline double chain(std::size_t n) { return 2.0 * static_cast<double>(n) + 16.0; }

/// Where a score may be off by more, nothing is known of the row.
constexpr double most_score_error = 5.0;

inline double size_of(const auto& x) { return std::fabs(static_cast<double>(x)); }

/// One row in double, in the order of HeadRow::keys.
struct RowSizes {
  std::vector<double> score_error;      ///< epsilon_j: of each s_j
  std::vector<double> slope_error;      ///< of each cap_slope
  std::vector<double> unit_weight;      ///< w_j = p_j / e^c; of the pivot p_a
  std::vector<double> weight_error;     ///< of w_j and of the pivot's p, relative; e^c is not taken for w_j
  std::vector<double> attention_error;  ///< of p_j, relative
  double rest_error = 0.0;              ///< sum over k != a of p_k times what each is off by: that of p_a
  double log_sum_exp = 0.0;             ///< its error
  double exponent = 0.0;                ///< c
  bool known = true;                    ///< scores are not off by more than exponentials allow for
  bool one_pivot = true;                ///< no other score is within the errors of the largest
};

/// tanh and what is made of it: cap tanh is off by 10 u of itself, its slope by (12 + 4 |x| / cap) u
/// relative.
template <class Number>
RowSizes row_sizes(const Head<Number>& head, const HeadRow<Number>& row, std::size_t i, Rounding rounding) {
  const std::size_t n = row.keys.size(), d = head.keys.n_cols, a = row.pivot;
  const double u = rounding.u, cap = size_of(head.soft_cap), k = chain(n);
  RowSizes out;
  out.exponent = static_cast<double>(row.exponent);
  std::vector<double> p(n), below(n), rounded(n);
  double largest_error = 0.0;
  for (std::size_t j = 0; j < n; ++j) {
    double size = 0.0;
    for (std::size_t l = 0; l < d; ++l)
      size += size_of(head.queries(i, l)) * size_of(head.keys(row.keys[j], l));
    size *= size_of(head.scale);
    // The product and its factors: d + 4; what is added to it: its sum.
    double error = rounding.exact_products ? 0.0 : (static_cast<double>(d) + 4.0) * u * size;
    out.slope_error.push_back(0.0);
    if (cap != 0.0) {
      const double x = size_of(row.raw[j]), least = std::max(0.0, x - error) / cap;
      const double steepest = 4.0 * std::exp(-2.0 * least) / std::pow(1.0 + std::exp(-2.0 * least), 2.0);
      out.slope_error[j] = std::min(2.0 * error / cap, 2.0 * most_score_error) + (12.0 + 4.0 * x / cap) * u;
      error = steepest * (error + 2.0 * u * x) + 10.0 * u * std::min(x, cap);
    }
    if (head.bias.n_rows != 0) error += u * (size_of(row.scores[j]) + (cap != 0.0 ? cap : size));
    largest_error = std::max(largest_error, error);
    out.score_error.push_back(std::min(error, most_score_error));
    p[j] = static_cast<double>(row.attention[j]);
    below[j] = static_cast<double>(Number(row.top - row.scores[j]));
  }
  out.known = largest_error <= most_score_error;
  const std::vector<double>& epsilon = out.score_error;
  for (std::size_t j = 0; j < n; ++j)
    if (j != a && below[j] <= 2.0 * (epsilon[j] + epsilon[a])) out.one_pivot = false;
  double shared = 4.0 * u, mean_epsilon = 0.0;
  for (std::size_t j = 0; j < n; ++j) {
    const bool alone = j == a && out.one_pivot;
    rounded[j] = alone ? 4.0 * u : (k + below[j]) * u;
    mean_epsilon += p[j] * std::exp(epsilon[j]);
    if (!alone) shared += p[j] * (std::expm1(epsilon[j] + epsilon[a]) + rounded[j]);
  }
  out.rest_error = shared;
  for (std::size_t j = 0; j < n; ++j) {
    const bool alone = j == a && out.one_pivot;
    const double x = std::max(0.0, below[j] + out.exponent);  // s_second - s_j
    const auto grown = [&](double roundings) {
      return std::expm1(epsilon[j] + epsilon[a] + shared + roundings * u);
    };
    out.weight_error.push_back(alone ? shared : grown(k + x));
    out.attention_error.push_back(alone ? shared : grown(k + below[j]));
    out.unit_weight.push_back(j == a ? p[a] : std::exp(-(below[j] + out.exponent)) * p[a]);
  }
  const double log_normalizer = std::log(static_cast<double>(row.normalizer));
  out.log_sum_exp = 1.01 * ((out.known ? std::log(mean_epsilon) : largest_error) + shared +
                            u * (4.0 + 4.0 * log_normalizer + 2.0 * size_of(row.top))) +
                    static_cast<double>(n) * rounding.smallest;
  return out;
}

/// Of o_i, all columns.
template <class Number>
std::vector<double> output_errors(const Head<Number>& head, const HeadRow<Number>& row, const RowSizes& sizes,
                                  const Matrix<Number>& outputs, std::size_t i, Rounding rounding) {
  const std::size_t n = row.keys.size(), a = row.pivot;
  const double k = chain(n);
  double mean_epsilon = 0.0;
  for (std::size_t j = 0; j < n; ++j)
    mean_epsilon += static_cast<double>(row.attention[j]) * std::exp(sizes.score_error[j]);
  std::vector<double> errors;
  for (std::size_t l = 0; l < head.values.n_cols; ++l) {
    double from_scores = 0.0, from_rounding = 0.0, lost = 1.0, shared = 4.0, size = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
      const double p = static_cast<double>(row.attention[j]), v = size_of(head.values(row.keys[j], l)),
                   below = static_cast<double>(Number(row.top - row.scores[j]));
      const bool alone = j == a && sizes.one_pivot;
      from_scores +=
          p * std::expm1(sizes.score_error[j]) * size_of(Number(head.values(row.keys[j], l) - outputs(i, l)));
      from_rounding += p * (alone ? 4.0 : k + below) * v;
      if (!alone) shared += p * (k + below);
      size += p * v;
      lost += 2.0 * v;
    }
    errors.push_back(1.01 * (mean_epsilon * from_scores + rounding.u * (from_rounding + shared * size)) +
                     lost * rounding.smallest);
  }
  return errors;
}

/// Of dS_i / e^c.
template <class Number>
std::vector<double> score_gradient_errors(const Head<Number>& head, const HeadRow<Number>& row,
                                          const RowSizes& sizes, const Matrix<Number>& output_gradient,
                                          const Matrix<Number>& exact, std::size_t i, Rounding rounding) {
  const std::size_t n = row.keys.size(), a = row.pivot, dv = head.values.n_cols;
  const double u = rounding.u, k = chain(n), length = static_cast<double>(dv) + 4.0;
  if (n < 2) return std::vector<double>(n, 0.0);  // exactly 0
  const std::vector<Number> d = value_products(head, row, output_gradient, i);
  std::vector<double> size(n, 0.0), below(n);
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t l = 0; l < dv; ++l)
      size[j] += size_of(output_gradient(i, l)) * size_of(head.values(row.keys[j], l));
    below[j] = static_cast<double>(Number(row.top - row.scores[j]));
  }
  // The pivot of rounded scores may be any of those that are within their errors of the largest.
  double pivot_size = 0.0;
  std::vector<std::size_t> pivots;
  for (std::size_t j = 0; j < n; ++j)
    if (j == a || below[j] <= 2.0 * (sizes.score_error[j] + sizes.score_error[a])) {
      pivots.push_back(j);
      pivot_size = std::max(pivot_size, size[j]);
    }
  // mu, in units of e^c where there is one pivot.
  const double unit = std::exp(sizes.exponent);
  double mu_error = 0.0, mu = 0.0;
  for (std::size_t j = 0; j < n; ++j) {
    if (j == a && sizes.one_pivot) continue;
    double difference = 0.0;
    for (const std::size_t pivot : pivots)
      difference = std::max(difference, size_of(Number(d[j] - d[pivot])));
    const double w = j == a ? sizes.unit_weight[a] / unit : sizes.unit_weight[j];
    const double x = std::max(0.0, below[j] + sizes.exponent);
    mu += w * difference;
    mu_error += w * (sizes.weight_error[j] * difference + (k + x + length) * u * (size[j] + pivot_size)) +
                2.0 * rounding.smallest * (size[j] + pivot_size);
  }
  const double delta_error = (length * u + 2.0 * rounding.smallest) * pivot_size +
                             (unit + rounding.smallest) * (mu_error + (4.0 - sizes.exponent) * u * mu) +
                             rounding.smallest * mu;
  std::vector<double> errors;
  for (std::size_t j = 0; j < n; ++j) {
    const double gradient = size_of(exact(i, row.keys[j]));
    if (j == a && sizes.one_pivot) {
      errors.push_back(1.01 * (sizes.unit_weight[a] * mu_error + (sizes.rest_error + 2.0 * u) * gradient) +
                       2.0 * rounding.smallest);
      continue;
    }
    const double w = j == a ? sizes.unit_weight[a] / unit : sizes.unit_weight[j];
    errors.push_back(
        1.01 * (sizes.weight_error[j] * gradient +
                w * (1.0 + sizes.weight_error[j]) * (length * u * (size[j] + pivot_size) + delta_error)) +
        2.0 * rounding.smallest * (1.0 + size[j] + pivot_size));
  }
  return errors;
}

/// Everything of one head of queries; what it adds to the errors of dK / e^key_exponent and dV. `n_terms`:
/// those of a sum of dK or dV, over all heads of the group.
struct HeadErrors {
  Matrix<double> outputs, queries, keys, values, scores;
  std::vector<double> log_sum_exp;
};

template <class Number>
HeadErrors head_errors(const Head<Number>& head, const std::vector<HeadRow<Number>>& rows,
                       const Matrix<Number>& outputs, const HeadGradients<Number>& exact,
                       const Matrix<Number>& output_gradient, double key_exponent, std::size_t n_terms,
                       Rounding rounding) {
  const std::size_t n_queries = head.queries.n_rows, n_keys = head.keys.n_rows, dim = head.keys.n_cols,
                    dv = head.values.n_cols;
  const double u = rounding.u, smallest = rounding.smallest, scale = size_of(head.scale),
               row_chain = chain(n_keys) + 8.0, column_chain = chain(n_terms) + 8.0;
  HeadErrors out{Matrix<double>(n_queries, dv),     Matrix<double>(n_queries, dim),
                 Matrix<double>(n_keys, dim),       Matrix<double>(n_keys, dv),
                 Matrix<double>(n_queries, n_keys), {}};
  for (std::size_t i = 0; i < n_queries; ++i) {
    const HeadRow<Number>& row = rows[i];
    if (row.keys.empty()) {
      out.log_sum_exp.push_back(0.0);
      continue;
    }
    const RowSizes sizes = row_sizes(head, row, i, rounding);
    out.log_sum_exp.push_back(sizes.log_sum_exp);
    if (!sizes.known) {
      const auto unknown = [](Matrix<double>& errors, std::size_t r) {
        std::fill_n(errors.numbers.begin() + static_cast<std::ptrdiff_t>(r * errors.n_cols), errors.n_cols,
                    std::numeric_limits<double>::infinity());
      };
      unknown(out.outputs, i);
      unknown(out.queries, i);
      unknown(out.scores, i);
      for (const std::size_t key : row.keys) {
        unknown(out.keys, key);
        unknown(out.values, key);
      }
      continue;
    }
    const std::vector<double> of_outputs = output_errors(head, row, sizes, outputs, i, rounding);
    std::copy(of_outputs.begin(), of_outputs.end(), &out.outputs(i, 0));
    const std::vector<double> of_scores =
        score_gradient_errors(head, row, sizes, output_gradient, exact.scores, i, rounding);
    const double apart = sizes.exponent - key_exponent, key_unit = std::exp(apart);
    for (std::size_t j = 0; j < row.keys.size(); ++j) {
      const std::size_t key = row.keys[j];
      const double ds = size_of(exact.scores(i, key)), slope = size_of(row.cap_slope[j]);
      out.scores(i, key) = of_scores[j];
      // dX = dS times the slope of the soft cap
      const double grown = std::expm1(sizes.slope_error[j]), dx = (ds + of_scores[j]) * (1.0 + grown) * slope;
      // 4 e^(-2 |x| / cap), of which the slope is made, counts as 0 where its exponential is below the
      // smallest.
      const double lost_slope = head.soft_cap != 0 ? 4.0 * smallest * (ds + of_scores[j]) : 0.0;
      const double of_dx = of_scores[j] * (1.0 + grown) * slope + ds * grown * slope + lost_slope + smallest;
      for (std::size_t l = 0; l < dim; ++l) {
        out.queries(i, l) +=
            1.01 * scale * (of_dx + row_chain * u * dx) * size_of(head.keys(key, l)) + 2.0 * smallest;
        // A row that sees one key adds exactly 0; its exponent is 0, which e^apart may be infinite for.
        if (row.keys.size() < 2) continue;
        out.keys(key, l) +=
            1.01 * scale *
                (key_unit * (of_dx + (column_chain + std::fabs(apart)) * u * dx) + smallest * (1.0 + dx)) *
                size_of(head.queries(i, l)) +
            2.0 * smallest;
      }
      const double p = static_cast<double>(row.attention[j]);
      for (std::size_t l = 0; l < dv; ++l)
        out.values(key, l) += (1.01 * p * (sizes.attention_error[j] + column_chain * u) + 2.0 * smallest) *
                                  size_of(output_gradient(i, l)) +
                              2.0 * smallest;
    }
  }
  return out;
}

}  // namespace softstep::reference
