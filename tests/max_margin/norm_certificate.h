#pragma once

// A max-margin answer in the l_p or nuclear norm judged from the definitions, in long double, sharing no code
// with the solver: singular values by one-sided Jacobi rotations.

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/certificate_check.h"
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

/// `rows` as constraint_matrix writes them. Rounding: norms, margins and combinations of the solver are sums
/// of at most d^2 + N terms in double, each relative to the size of its terms.
inline void check_norm_certificate(const Rows& rows, std::size_t d, MatrixNorm norm, double p,
                                   const MaxMarginResult& result, double tolerance) {
  REQUIRE(result.status == MaxMarginStatus::optimal);
  REQUIRE(result.weights.size() == d * d);
  const std::vector<Real> w(result.weights.begin(), result.weights.end());
  std::vector<Real> combination(d * d, 0);
  Real sum = 0, smallest = INFINITY, largest = 0, sizes = 0;
  std::size_t n = 0;
  for_each_multiplier(rows, result.multipliers, [&](std::size_t k, Real lambda) {
    ++n;
    sum += lambda;
    largest = std::max(largest, lambda);
    smallest = std::min(smallest, dot(rows[k], w));
    sizes = std::max(sizes, norm_of(rows[k]) * norm_of(w));
    for (std::size_t j = 0; j < d * d; ++j) combination[j] += lambda * rows[k][j];
  });
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

/// 1 / min ||W|| over 2 x 2 matrices with <row_k, W> >= 1, by the ellipsoid method, which knows convexity and
/// no duality: a violated constraint, or else the slope of the norm, cuts the ellipsoid that holds the
/// solution in half. Its volume falls by e^(-1/10) a step, lengths by e^(-1/40): 1500 steps leave e^-37 of
/// the first radius.
inline Real best_margin_by_search(const Rows& rows, MatrixNorm norm, Real p) {
  constexpr std::size_t n = 4;
  std::vector<Real> centre(n, 0);
  Real root[n][n] = {}, best = INFINITY;                // the ellipsoid is centre + root (unit ball)
  for (std::size_t j = 0; j < n; ++j) root[j][j] = 10;  // planar data have ||W_mm|| near 1
  for (int step = 0; step < 1500; ++step) {
    std::vector<Real> cut(n, 0);
    bool feasible = true;
    for (const auto& row : rows)
      if (feasible && !row.empty() && dot(row, centre) < 1) {
        feasible = false;
        for (std::size_t j = 0; j < n; ++j) cut[j] = -row[j];
      }
    if (feasible) {
      best = std::min(best, exact_norm(centre, 2, norm, p));
      for (std::size_t j = 0; j < n; ++j) {
        std::vector<Real> up = centre, down = centre;
        up[j] += 1e-9L;
        down[j] -= 1e-9L;
        cut[j] = exact_norm(up, 2, norm, p) - exact_norm(down, 2, norm, p);
      }
    }
    Real unit[n] = {}, image[n] = {}, length = 0;
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t l = 0; l < n; ++l) unit[j] += root[l][j] * cut[l];
      length = std::hypot(length, unit[j]);
    }
    if (!(length > 0)) break;
    for (Real& x : unit) x /= length;
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t l = 0; l < n; ++l) image[j] += root[j][l] * unit[l];
    const Real less = 1 - std::sqrt(Real(n - 1) / (n + 1)), more = n / std::sqrt(Real(n * n - 1));
    for (std::size_t j = 0; j < n; ++j) {
      centre[j] -= image[j] / (n + 1);
      for (std::size_t l = 0; l < n; ++l) root[j][l] = more * (root[j][l] - less * image[j] * unit[l]);
    }
  }
  return 1 / best;
}

}  // namespace softstep::test
