#pragma once

// How far from the truth a computation in rounded arithmetic may be: derived worst cases, to first order in
// the unit roundoff u (the factor 1.01 stands for the rest), in the terms of simd/kernels/attention.h. Used
// by the tests and by the self check; the numbers are magnitudes, plain double is enough for them. Each line
// is explained in docs/mathematics.md, section 9.
//
// One gradient row r_t / e^c given its scores. With lambda_t = 1 + |s_t - s_c| in B and 1 + |s_t - s_a| in A:
//   e_t      relative 3 u lambda_t: the argument is rounded once, exp has 1.5 ULP <= 3 u
//   e^c      relative 3 u (1 + |c|)
//   p_a      relative (7 T + 6) u: as x e^-x <= 1/e the argument errors cost 6 u a term, sums T u
//   mu       (8 T + 12) u M,  M = p_a sum_B e_t lambda_t |D_t|
//   e^c mu   (8 T + 16) u e^c (1 + |c|) M
//   r_t      (15 T + 28) u a_t,  a_t = p_a e_t lambda_t (|D_t| + e^c (1 + |c|) M) in B
//                                a_t = p_a w_t lambda_t M in A
//   row      (16 T + 30) u sum_t a_t |x_t|
// a_t is |r_t| with every term taken in absolute value, up to lambda, which e_t outweighs.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/reference/objective.h"

namespace softstep::reference {

inline double row_error_factor(std::size_t n_tokens) {
  return 1.01 * (16.0 * static_cast<double>(n_tokens) + 30.0);
}

/// c: the largest z_t = s_t - max s among tokens whose gap differs from the pivot's; the pivot's own, 0, if
/// there is none.
template <class Number>
Number other_exponent(const Attention<Number>& a, const Number* gaps) {
  const std::vector<Number>& z = a.relative_scores;
  std::size_t pivot = 0, other = z.size();
  for (std::size_t t = 0; t < z.size(); ++t)
    if (z[t] > z[pivot]) pivot = t;
  for (std::size_t t = 0; t < z.size(); ++t)
    if (gaps[t] != gaps[pivot] && (other == z.size() || z[t] > z[other])) other = t;
  return other == z.size() ? Number(0) : z[other];
}

/// a_t, and what else the objective's bound needs of a sample.
struct RowMagnitude {
  double exponent = -std::numeric_limits<double>::infinity();  ///< c
  double moment = 0.0;                                         ///< M
  double shifted_moment = 0.0;                                 ///< e^c (1 + |c|) M
  std::vector<double> weights;                                 ///< a_t
};

/// From s_t - max s, and the score gaps; `gap_error` times a gap is added to each |D|, for gaps that are
/// rounded themselves (1: gaps rounded to the working type).
inline RowMagnitude row_magnitude(const std::vector<double>& z, const std::vector<double>& gaps,
                                  double gap_error) {
  const std::size_t n = z.size();
  std::size_t a = 0;
  for (std::size_t t = 0; t < n; ++t)
    if (z[t] > z[a]) a = t;
  RowMagnitude out;
  out.weights.assign(n, 0.0);
  for (std::size_t t = 0; t < n; ++t)
    if (gaps[t] != gaps[a]) out.exponent = std::max(out.exponent, z[t] - z[a]);
  if (std::isinf(out.exponent)) return out;
  const double c = out.exponent;
  double ties = 0.0, rest = 0.0, moment = 0.0;
  std::vector<double> difference(n), e(n), lambda(n);
  for (std::size_t t = 0; t < n; ++t) {
    const bool in_a = gaps[t] == gaps[a];
    const double argument = z[t] - z[a] - (in_a ? 0.0 : c);
    e[t] = std::exp(argument);
    lambda[t] = 1.0 + std::fabs(argument);
    difference[t] = in_a ? 0.0 : std::fabs(gaps[a] - gaps[t]) + gap_error * (gaps[a] + gaps[t]);
    (in_a ? ties : rest) += e[t];
    moment += e[t] * lambda[t] * difference[t];
  }
  const double p_a = 1.0 / (ties + std::exp(c) * rest), big_m = p_a * moment;
  out.moment = big_m;
  out.shifted_moment = std::exp(c) * (1.0 + std::fabs(c)) * big_m;
  for (std::size_t t = 0; t < n; ++t)
    out.weights[t] =
        p_a * e[t] * lambda[t] * (gaps[t] == gaps[a] ? big_m : difference[t] + out.shifted_moment);
  return out;
}

/// delta: error of the scores of sample i at W, two products of length d: (2 d + 2) u max_t |x_t| |W| |z|.
template <class Number, class T>
double score_error(const Problem<Number>& problem, std::size_t i, const T* w, double u) {
  const std::size_t d = problem.dim;
  const Sample<Number>& sample = problem.samples[i];
  const auto size_of = [](const auto& x) { return std::fabs(static_cast<double>(x)); };
  std::vector<double> projected(d, 0.0);
  for (std::size_t r = 0; r < d; ++r)
    for (std::size_t c = 0; c < d; ++c) projected[r] += size_of(w[r * d + c]) * size_of(sample.query[c]);
  double largest = 0.0;
  for (std::size_t t = 0; t < sample.n_tokens; ++t) {
    double size = 0.0;
    for (std::size_t j = 0; j < d; ++j) size += size_of(sample.tokens[t * d + j]) * projected[j];
    largest = std::max(largest, size);
  }
  return (2.0 * static_cast<double>(d) + 2.0) * u * largest;
}

/// The gap differences and scores of a sample in double, with the magnitudes of its row; its gaps are
/// rounded.
template <class Number>
RowMagnitude row_magnitude(const Sample<Number>& sample, const Attention<Number>& attention) {
  std::vector<double> z, gaps;
  for (const Number& number : attention.relative_scores) z.push_back(static_cast<double>(number));
  for (const Number& number : sample.gaps) gaps.push_back(static_cast<double>(number));
  return row_magnitude(z, gaps, 1.0);
}

/// The gradient of the objective, as direction and length.
struct GradientBound {
  double direction = 0.0;  ///< |computed / |computed| - exact / |exact||
  double exponent = 0.0;   ///< absolute error of log |G|
};

/// What is added up, and how far each part may be off: |computed - exact| <= expm1(theta) |exact|. A factor
/// common to all is a change of length only, so that the direction moves by the parts beside the largest
/// alone:
///   |G~ - G| <= sum_{P not largest} expm1(theta + theta_largest) |P|  +  `rest`, errors of other kinds.
struct Part {
  double size, theta;
};

/// Sizes and rest are relative to |G|.
inline GradientBound bound_of_sum(const std::vector<Part>& parts, double rest, double u) {
  const auto largest = std::max_element(parts.begin(), parts.end(),
                                        [](const Part& a, const Part& b) { return a.size < b.size; });
  if (largest == parts.end()) return {};
  double relative = rest;
  for (auto part = parts.begin(); part != parts.end(); ++part)
    if (part != largest && part->size != 0.0)
      relative += std::expm1(part->theta + largest->theta) * part->size;
  // Vectors relatively so near have unit vectors at most twice as far apart; the norm rounds by 4 u.
  return {2.0 * 1.01 * relative + 4.0 * u,
          1.01 * (largest->theta + relative / std::max(0.0, 1.0 - relative)) + 8.0 * u};
}

/// What a sample comes with before its row is computed.
struct SampleError {
  double score = 0.0;  ///< delta: of each s_t
  double token_score =
      0.0;  ///< of each gamma_t, beside its rounding; 0 for a decoder scored once, in twice the precision
  double margin = 0.0;  ///< of m from the other queries of the sample; |d log l'| <= 1
};

/// How a block's gradient is made of the samples' rows, sum_i f_i(row_i) with f_i linear: |f_i(x)|, and the
/// norm of f_i(a) for a >= 0 with every factor in absolute value. `roundings`: of f_i beyond those of an
/// outer product.
template <class Size, class Magnitude>
struct RowUse {
  Size size;            ///< (i, const double* x)
  Magnitude magnitude;  ///< (i, const double* a)
  double roundings = 0.0;
};

/// For working type unit roundoff u; `norm` is that of the (shifted) gradient of `values`. G is a sum over
/// samples i and pairs of tokens (t,k) of
///   P = -(1/n) l'(m) p_t p_k (gamma_t - gamma_k) f_i(x_t - x_k).
/// Errors of the scores, at most delta, multiply each P by some e^theta,
///   |theta| <= 4 delta + expm1(2 delta) e^c M + (roundings of c and m).
/// The rows' own error, K u f_i(sum a_t |x_t|), that of the product over n samples, and that of gamma_t -
/// gamma_k where token scores are rounded, are added.
template <class Number, class Size, class Magnitude>
GradientBound gradient_bound(const Problem<Number>& problem, const std::vector<SampleValue<Number>>& values,
                             const std::vector<SampleError>& errors, const RowUse<Size, Magnitude>& use,
                             const Number& norm, double u) {
  using std::exp;
  const std::size_t d = problem.dim, n = values.size();
  const double u_double = 0x1p-53;
  std::vector<Part> pairs;
  std::vector<double> x(d);
  double rest = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const Sample<Number>& sample = problem.samples[i];
    const SampleValue<Number>& value = values[i];
    const RowMagnitude row = row_magnitude(sample, value.attention);
    if (std::isinf(row.exponent)) continue;
    const auto token = [&](std::size_t t, std::size_t j) {
      return static_cast<double>(sample.tokens[t * d + j]);
    };
    double largest_gap = 0.0;
    for (const Number& gap : sample.gaps) largest_gap = std::max(largest_gap, static_cast<double>(gap));
    for (std::size_t j = 0; j < d; ++j) {
      x[j] = 0.0;
      for (std::size_t t = 0; t < sample.n_tokens; ++t) x[j] += row.weights[t] * std::fabs(token(t, j));
    }
    const double delta = errors[i].score, c = std::fabs(row.exponent);
    // Where the factor e^c of the moment is 0 in double and the other infinite, the first term is beyond any
    // bound.
    const double moved = row.shifted_moment == 0.0 ? 0.0 : std::expm1(2.0 * delta) * row.shifted_moment;
    const double theta =
        4.0 * delta + moved + u * (c + largest_gap) +
        (8.0 * static_cast<double>(sample.n_tokens) + 16.0) * u * row.shifted_moment +
        4.0 * u_double * (c + std::fabs(static_cast<double>(sample.optimal_score)) + largest_gap) +
        3.0 * errors[i].token_score + errors[i].margin;
    const Number relative_slope = value.slope / norm;
    // A size may be 0 where the quotient by the norm is beyond double: products first.
    const Number scale = relative_slope * exp(Number(Number(row.exponent) - value.slope_shift));
    rest += (row_error_factor(sample.n_tokens) + static_cast<double>(n) + 8.0 + use.roundings) * u *
            static_cast<double>(Number(scale * Number(use.magnitude(i, x.data()))));

    for (std::size_t t = 0; t < sample.n_tokens; ++t)
      for (std::size_t k = 0; k < t; ++k) {
        if (sample.gaps[t] == sample.gaps[k] && errors[i].token_score == 0.0) continue;
        for (std::size_t j = 0; j < d; ++j) x[j] = token(t, j) - token(k, j);
        const Number exponent = value.attention.relative_scores[t] + value.attention.relative_scores[k];
        const Number p_p = exp(Number(exponent - value.slope_shift)) /
                           (value.attention.normalizer * value.attention.normalizer);
        const Number size = p_p * relative_slope * Number(use.size(i, x.data()));
        const Number difference = sample.gaps[t] - sample.gaps[k];
        pairs.push_back({std::fabs(static_cast<double>(Number(size * difference))), theta});
        if (errors[i].token_score != 0.0)  // 0 times an infinite e^theta is NaN
          rest += 2.0 * errors[i].token_score * static_cast<double>(size) * std::exp(theta);
      }
  }
  return bound_of_sum(pairs, rest, u);
}

inline double norm_of(const double* x, std::size_t n) {
  double norm = 0.0;
  for (std::size_t j = 0; j < n; ++j) norm = std::hypot(norm, x[j]);
  return norm;
}

/// The same at W, for a fixed decoder: f_i(x) = x z_i^T. `margin_errors`: SampleError::margin of each sample.
template <class Number, class T>
GradientBound gradient_bound(const Problem<Number>& problem, const std::vector<SampleValue<Number>>& values,
                             const T* w, const Number& norm, double u,
                             const std::vector<double>& margin_errors = {}) {
  std::vector<SampleError> errors;
  std::vector<double> query_norms;
  for (std::size_t i = 0; i < values.size(); ++i) {
    errors.push_back({score_error(problem, i, w, u), 0.0, margin_errors.empty() ? 0.0 : margin_errors[i]});
    query_norms.push_back(0.0);
    for (const Number& z : problem.samples[i].query)
      query_norms[i] = std::hypot(query_norms[i], static_cast<double>(z));
  }
  const auto outer = [&](std::size_t i, const double* x) { return norm_of(x, problem.dim) * query_norms[i]; };
  return gradient_bound(problem, values, errors, RowUse<decltype(outer), decltype(outer)>{outer, outer}, norm,
                        u);
}

}  // namespace softstep::reference
