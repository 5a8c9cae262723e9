#pragma once

// The max-margin problem solved exactly: the constraint matrix written out, and Lawson and Hanson's
// active-set method
// ("Solving least squares problems", chapters 23.3 NNLS and 23.4 LDP) in long double. Only for small
// problems.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "softstep/batch.h"

namespace softstep::test {

using Real = long double;
using Rows = std::vector<std::vector<Real>>;

/// A_k = (x_i,chosen - x_it) z_iq^T row-major for every query and token in batch order; empty rows at the
/// chosen tokens, of which there is one for each sample or for each query.
template <class T>
Rows constraint_matrix(const BatchView<T>& batch, const std::vector<std::size_t>& chosen) {
  Rows out;
  const bool by_sample = chosen.size() == batch.n_samples;
  std::size_t row = 0;
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t q = 0; q < batch.queries_of(i); ++q, ++row)
      for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
        const std::size_t winner = chosen[by_sample ? i : row];
        out.emplace_back();
        if (t == winner) continue;
        const T* best = batch.sample(i) + winner * batch.row_stride();
        const T* other = batch.sample(i) + t * batch.row_stride();
        for (std::size_t r = 0; r < batch.dim; ++r)
          for (std::size_t c = 0; c < batch.dim; ++c)
            out.back().push_back((static_cast<Real>(best[r]) - static_cast<Real>(other[r])) *
                                 static_cast<Real>(batch.query(i, q)[c]));
      }
  return out;
}

template <class T>
Rows constraint_matrix(const BatchView<T>& batch, const TokenScores& scores) {
  return constraint_matrix(batch, scores.optimal);
}

inline Real dot(const std::vector<Real>& a, const std::vector<Real>& b) {
  Real sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}
inline Real norm_of(const std::vector<Real>& a) { return std::sqrt(dot(a, a)); }

/// min || sum_k x_k columns_k - target || for the columns named, by Householder reflections.
inline std::vector<Real> least_squares(const Rows& columns, const std::vector<std::size_t>& named,
                                       std::vector<Real> target) {
  Rows q;
  for (const std::size_t k : named) q.push_back(columns[k]);
  const std::size_t m = target.size(), n = q.size();
  std::vector<Real> diagonal(n);
  for (std::size_t j = 0; j < n; ++j) {
    Real length = 0;
    for (std::size_t r = j; r < m; ++r) length += q[j][r] * q[j][r];
    length = std::sqrt(length);
    diagonal[j] = q[j][j] > 0 ? -length : length;
    if (length == 0) continue;
    q[j][j] -= diagonal[j];  // the reflection vector, kept in place
    Real squared = 0;
    for (std::size_t r = j; r < m; ++r) squared += q[j][r] * q[j][r];
    const auto reflect = [&](std::vector<Real>& x) {
      Real along = 0;
      for (std::size_t r = j; r < m; ++r) along += q[j][r] * x[r];
      for (std::size_t r = j; r < m; ++r) x[r] -= 2 * along / squared * q[j][r];
    };
    for (std::size_t c = j + 1; c < n; ++c) reflect(q[c]);
    reflect(target);
  }
  std::vector<Real> x(n);
  for (std::size_t j = n; j-- > 0;) {
    Real sum = target[j];
    for (std::size_t c = j + 1; c < n; ++c) sum -= q[c][j] * x[c];
    x[j] = sum / diagonal[j];
  }
  return x;
}

struct OracleAnswer {
  bool separable = false;
  std::vector<Real> weights;  ///< W_mm
  Real norm = 0;
  Real margin_of_unit_rows = 0;  ///< 1 / min ||W|| subject to <A_k / ||A_k||, W> >= 1
};

/// min ||W|| subject to <row_k, W> >= 1. Rows must not be zero.
inline OracleAnswer least_distance(const Rows& rows) {
  // NNLS on [rows^T; 1^T] x ~ (0, ..., 0, 1), x >= 0
  Rows columns = rows;
  for (std::vector<Real>& column : columns) column.push_back(1);
  const std::size_t n = columns.size(), m = columns[0].size();
  std::vector<Real> x(n, 0), target(m, 0), residual;
  target[m - 1] = 1;
  std::vector<char> passive(n, 0);
  const auto update_residual = [&] {
    residual = target;
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t r = 0; r < m; ++r) residual[r] -= x[k] * columns[k][r];
  };
  update_residual();
  for (std::size_t round = 0; round < 50 * n; ++round) {
    std::size_t enter = n;
    Real steepest = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const Real slope = dot(columns[k], residual) / norm_of(columns[k]);
      if (!passive[k] && slope > steepest) steepest = slope, enter = k;
    }
    if (enter == n || steepest <= 1e-17L) break;
    passive[enter] = 1;
    for (;;) {
      std::vector<std::size_t> named;
      for (std::size_t k = 0; k < n; ++k)
        if (passive[k]) named.push_back(k);
      if (named.size() > m) {  // more columns than rows: dependent; leave the last out
        passive[enter] = 0;
        break;
      }
      const std::vector<Real> trial = least_squares(columns, named, target);
      Real step = 1;
      for (std::size_t j = 0; j < named.size(); ++j)
        if (!(trial[j] > 0)) step = std::min(step, x[named[j]] / (x[named[j]] - trial[j]));
      const bool inside = step == 1 && [&] {
        for (const Real value : trial)
          if (!(value > 0)) return false;
        return true;
      }();
      for (std::size_t j = 0; j < named.size(); ++j) {
        const std::size_t k = named[j];
        x[k] = inside ? trial[j] : x[k] + step * (trial[j] - x[k]);
        if (!inside && !(trial[j] > 0) && !(x[k] > 1e-18L)) x[k] = 0, passive[k] = 0;
      }
      if (inside) break;
    }
    update_residual();
  }
  OracleAnswer out;
  // The last residual is 1 - sum x = ||residual||^2; zero: 0 is a convex combination of the rows.
  const Real last = residual[m - 1];
  out.separable = last > 1e-13L;
  if (!out.separable) return out;
  for (std::size_t r = 0; r + 1 < m; ++r) out.weights.push_back(-residual[r] / last);
  out.norm = norm_of(out.weights);
  return out;
}

/// The whole problem, with the margin of the unit rows for those who ask how hard it is.
inline OracleAnswer solve_exactly(const Rows& constraints) {
  Rows rows, unit_rows;
  for (const std::vector<Real>& row : constraints) {
    if (row.empty()) continue;
    rows.push_back(row);
    unit_rows.push_back(row);
    const Real length = norm_of(row);
    for (Real& value : unit_rows.back()) value /= length;
  }
  OracleAnswer out = least_distance(rows);
  if (out.separable) out.margin_of_unit_rows = 1 / least_distance(unit_rows).norm;
  return out;
}

}  // namespace softstep::test
