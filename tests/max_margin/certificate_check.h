#pragma once

// An answer of the solver judged from the definitions alone, in long double.

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/oracle.h"
#include "softstep/max_margin.h"

namespace softstep::test {

/// each(k, lambda) for every constraint k with its multiplier: none is negative, and what is no constraint
/// has none.
template <class Each>
void for_each_multiplier(const Rows& rows, const std::vector<double>& multipliers, Each each) {
  REQUIRE(multipliers.size() == rows.size());
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const Real lambda = multipliers[k];
    REQUIRE(lambda >= 0);
    if (rows[k].empty())
      REQUIRE(lambda == 0);
    else
      each(k, lambda);
  }
}

/// What the answer's own certificate must come out as when it is computed afresh, and that it meets the
/// tolerance. Rounding: the solver's margins <A_k, W> are sums of at most 2 d products in double, each with a
/// relative error of at most (d + 4) 2^-53 of ||A_k|| ||W||; W itself and the multipliers are rounded once
/// more. `rows` are the constraints written out, `size` numbers each, their products sums over at most 2
/// `dim` terms.
inline void check_certificate(const Rows& rows, std::size_t size, std::size_t dim,
                              const MaxMarginResult& result, double tolerance) {
  REQUIRE(result.status == MaxMarginStatus::optimal);
  REQUIRE(result.weights.size() == size);
  const std::vector<Real> w(result.weights.begin(), result.weights.end());
  const Real norm = norm_of(w), unit = 0x1p-53L * static_cast<Real>(2 * dim + 16);

  std::vector<Real> combination(w.size(), 0);
  Real sum = 0, largest = 0, smallest = INFINITY, longest = 0, total = 0;
  std::size_t n_constraints = 0, n_support = 0;
  for_each_multiplier(rows, result.multipliers, [&](std::size_t k, Real lambda) {
    ++n_constraints;
    sum += lambda;
    largest = std::max(largest, lambda);
    smallest = std::min(smallest, dot(rows[k], w));
    longest = std::max(longest, norm_of(rows[k]));
    total += lambda * norm_of(rows[k]);
    for (std::size_t j = 0; j < w.size(); ++j) combination[j] += lambda * rows[k][j];
  });
  const Real rounding = unit * longest * norm;  // of a margin, which is 1 where it is smallest
  CHECK(result.n_constraints == n_constraints);

  // primal feasibility: the smallest margin is 1
  CHECK(std::fabs(smallest - 1) <= rounding);
  CHECK(std::fabs(static_cast<Real>(result.norm) - norm) <= unit * norm);
  CHECK(std::fabs(static_cast<Real>(result.margin) - smallest / norm) <= rounding / norm + unit / norm);

  // stationarity: W = sum lambda_k A_k
  std::vector<Real> difference(w.size());
  for (std::size_t j = 0; j < w.size(); ++j) difference[j] = w[j] - combination[j];
  CHECK(norm_of(difference) <= (static_cast<Real>(rows.size()) + 16) * 0x1p-53L * total);

  // duality gap of W against the best multiple of lambda
  const Real primal = norm * norm / 2, dual = sum * sum / (2 * dot(combination, combination));
  const Real gap = (primal - dual) / primal;
  CHECK(std::fabs(gap - static_cast<Real>(result.duality_gap)) <= 8 * rounding);
  CHECK(result.duality_gap <= tolerance);
  CHECK(gap <= tolerance + 8 * rounding);

  // complementarity, at the multiple of W where the dual is largest
  const Real scale = sum / dot(combination, combination);
  Real residual = 0;
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (rows[k].empty()) continue;
    const Real lambda = result.multipliers[k];
    residual = std::max(residual, std::fabs(std::min(lambda / largest, scale * dot(rows[k], w) - 1)));
    if (lambda > 1e-9L * largest) ++n_support;
  }
  CHECK(std::fabs(residual - static_cast<Real>(result.kkt_residual)) <= 4 * rounding);
  CHECK(result.kkt_residual <= tolerance);
  CHECK(result.n_support == n_support);
  CHECK(result.certificate == 0.0);
}

/// The same for the constraints of a batch and its optimal tokens.
template <class T>
void check_certificate(const BatchView<T>& batch, const MaxMarginResult& result, double tolerance) {
  check_certificate(constraint_matrix(batch, score_tokens(batch)), batch.dim * batch.dim, batch.dim, result,
                    tolerance);
}

/// || a / |a| - b / |b| ||
inline Real direction_distance(const std::vector<Real>& a, const std::vector<Real>& b) {
  const Real norm_a = norm_of(a), norm_b = norm_of(b);
  std::vector<Real> difference(a.size());
  for (std::size_t j = 0; j < a.size(); ++j) difference[j] = a[j] / norm_a - b[j] / norm_b;
  return norm_of(difference);
}

/// Compares with the exact method; true if the data were separable.
inline bool agrees_with_oracle(const Rows& rows, std::size_t size, std::size_t dim,
                               const MaxMarginResult& result, double tolerance) {
  const OracleAnswer exact = solve_exactly(rows);
  INFO("status " << to_string(result.status) << ", sweeps " << result.sweeps << ", unit margin "
                 << static_cast<double>(exact.margin_of_unit_rows));
  if (!exact.separable) {
    CHECK(result.status == MaxMarginStatus::not_separable);
    CHECK(result.certificate <= 1e-13);
    CHECK(result.weights.empty());
    return false;
  }
  check_certificate(rows, size, dim, result, tolerance);
  // For a feasible W, ||W - W_mm||^2 <= ||W||^2 - ||W_mm||^2 <= gap ||W||^2. The oracle's own error is far
  // smaller.
  const std::vector<Real> w(result.weights.begin(), result.weights.end());
  CHECK(std::fabs(result.norm / static_cast<double>(exact.norm) - 1.0) <= tolerance);
  CHECK(direction_distance(w, exact.weights) <= 2 * std::sqrt(tolerance));
  return true;
}

}  // namespace softstep::test
