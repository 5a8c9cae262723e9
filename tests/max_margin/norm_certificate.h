#pragma once

// A max-margin answer in the l_p or nuclear norm judged from the definitions, in long double, sharing no code with the
// solver: singular values by one-sided Jacobi rotations.

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "max_margin/oracle.h"
#include "softstep/max_margin.h"

namespace softstep::test {

/// Singular values of a d x d matrix, any order (Hestenes).
inline std::vector<Real> jacobi_singular_values(std::vector<Real> a, std::size_t d) {
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool rotated = false;
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = i + 1; j < d; ++j) {
        Real aa = 0, bb = 0, ab = 0;
        for (std::size_t r = 0; r < d; ++r) {
          aa += a[r * d + i] * a[r * d + i];
          bb += a[r * d + j] * a[r * d + j];
          ab += a[r * d + i] * a[r * d + j];
        }
        if (std::fabs(ab) <= 1e-18L * std::sqrt(aa * bb)) continue;
        rotated = true;
        const Real zeta = (bb - aa) / (2 * ab);
        const Real t = (zeta >= 0 ? 1 : -1) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta));
        const Real c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (std::size_t r = 0; r < d; ++r) {
          const Real x = a[r * d + i], y = a[r * d + j];
          a[r * d + i] = c * x - s * y;
          a[r * d + j] = s * x + c * y;
        }
      }
    if (!rotated) break;
  }
  std::vector<Real> out(d, 0);
  for (std::size_t j = 0; j < d; ++j) {
    for (std::size_t r = 0; r < d; ++r) out[j] += a[r * d + j] * a[r * d + j];
    out[j] = std::sqrt(out[j]);
  }
  return out;
}

inline Real entrywise_norm(const std::vector<Real>& a, Real p) {
  Real sum = 0;
  for (const Real x : a) sum += std::pow(std::fabs(x), p);
  return std::pow(sum, 1 / p);
}

/// The norm of a d x d matrix, and its dual.
inline Real exact_norm(const std::vector<Real>& a, std::size_t d, MatrixNorm norm, Real p) {
  if (norm == MatrixNorm::l_p) return entrywise_norm(a, p);
  if (norm == MatrixNorm::frobenius) return entrywise_norm(a, 2);
  Real sum = 0;
  for (const Real s : jacobi_singular_values(a, d)) sum += s;
  return sum;
}
inline Real exact_dual_norm(const std::vector<Real>& a, std::size_t d, MatrixNorm norm, Real p) {
  if (norm == MatrixNorm::l_p) return entrywise_norm(a, p / (p - 1));
  if (norm == MatrixNorm::frobenius) return entrywise_norm(a, 2);
  const std::vector<Real> values = jacobi_singular_values(a, d);
  return *std::max_element(values.begin(), values.end());
}

/// `rows` as constraint_matrix writes them. Rounding: norms, margins and combinations of the solver are sums of at most
/// d^2 + N terms in double, each relative to the size of its terms.
inline void check_norm_certificate(const Rows& rows, std::size_t d, MatrixNorm norm, double p,
                                   const MaxMarginResult& result, double tolerance) {
  REQUIRE(result.status == MaxMarginStatus::optimal);
  REQUIRE(result.weights.size() == d * d);
  REQUIRE(result.multipliers.size() == rows.size());
  const std::vector<Real> w(result.weights.begin(), result.weights.end());
  std::vector<Real> combination(d * d, 0);
  Real sum = 0, smallest = INFINITY, largest = 0, sizes = 0;
  std::size_t n = 0;
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const Real lambda = result.multipliers[k];
    REQUIRE(lambda >= 0);
    if (rows[k].empty()) {
      REQUIRE(lambda == 0);
      continue;
    }
    ++n;
    sum += lambda;
    largest = std::max(largest, lambda);
    smallest = std::min(smallest, dot(rows[k], w));
    sizes = std::max(sizes, norm_of(rows[k]) * norm_of(w));
    for (std::size_t j = 0; j < d * d; ++j) combination[j] += lambda * rows[k][j];
  }
  const Real rounding = 0x1p-52L * static_cast<Real>(d * d + n) * std::max<Real>(sizes, 1);
  const Real primal = exact_norm(w, d, norm, p), dual_norm = exact_dual_norm(combination, d, norm, p);
  CHECK(result.n_constraints == n);
  CHECK(std::fabs(smallest - 1) <= rounding);
  CHECK(std::fabs(dual_norm - 1) <= rounding);
  CHECK(std::fabs(static_cast<Real>(result.norm) / primal - 1) <= rounding);
  CHECK(std::fabs(static_cast<Real>(result.margin) * primal - 1) <= rounding);
  // The bounds themselves, made feasible: nothing of the solver is believed.
  const Real gap = 1 - (sum / dual_norm) / (primal / smallest);
  CHECK(std::fabs(gap - static_cast<Real>(result.duality_gap)) <= 4 * rounding);
  CHECK(gap <= tolerance + 4 * rounding);
  CHECK(gap >= -4 * rounding);
  Real residual = 1 - dot(combination, w) / (primal * dual_norm);
  for (std::size_t k = 0; k < rows.size(); ++k)
    if (!rows[k].empty())
      residual =
          std::max(residual, std::fabs(std::min(result.multipliers[k] / largest, dot(rows[k], w) - 1)));
  CHECK(std::fabs(residual - static_cast<Real>(result.kkt_residual)) <= 4 * rounding);
}

template <class T>
void check_norm_certificate(const BatchView<T>& batch, MatrixNorm norm, double p,
                            const MaxMarginResult& result, double tolerance) {
  check_norm_certificate(constraint_matrix(batch, score_tokens(batch)), batch.dim, norm, p, result,
                         tolerance);
}

/// max over 2 x 2 matrices of (min_k <row_k, W>) / ||W||: a concave function of W over a convex ball has one top, so random
/// steps about the best so far, drawn at every size and pointing anywhere, end there.
inline Real best_margin_by_search(const Rows& rows, MatrixNorm norm, Real p) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> exponent(-9.0, 0.0);
  std::vector<Real> best(4, 0);
  Real top = -INFINITY;
  for (int draw = 0; draw < 400000; ++draw) {
    const Real step = draw < 5000 ? 10 : std::pow(Real(10), static_cast<Real>(exponent(random)));
    std::vector<Real> w = best;
    for (Real& x : w) x += step * static_cast<Real>(normal(random));
    const Real length = exact_norm(w, 2, norm, p);
    Real margin = INFINITY;
    for (const auto& row : rows)
      if (!row.empty()) margin = std::min(margin, dot(row, w) / length);
    if (!(margin > top)) continue;
    top = margin;
    for (std::size_t j = 0; j < 4; ++j) best[j] = w[j] / length;
  }
  return top;
}

}  // namespace softstep::test
