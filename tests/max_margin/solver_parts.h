#pragma once

// Rows written out for the parts of the solver: of them it takes unit rows, and the targets 1 / ||A_k||.

#include <random>
#include <vector>

#include "core/isa/active_isa.h"
#include "core/max_margin/constraints/dense_rows.h"
#include "max_margin/oracle.h"

namespace softstep::test {

/// A_k, each of the same length.
struct PartRows {
  Rows given, units;
  std::vector<double> targets;
  DenseRows map;

  explicit PartRows(const Rows& rows)
      : given(rows), map(flat(rows), rows.size(), rows[0].size(), resolve_isa("").kernels<double>()) {
    for (std::vector<Real> row : rows) {
      const Real size = norm_of(row);
      for (Real& x : row) x /= size;
      units.push_back(row);
      targets.push_back(static_cast<double>(1 / size));
    }
  }

  /// sum_k multipliers_k a_k of the unit rows.
  std::vector<Real> combination(const std::vector<double>& multipliers) const {
    std::vector<Real> out(units[0].size(), 0);
    for (std::size_t k = 0; k < units.size(); ++k)
      for (std::size_t j = 0; j < out.size(); ++j) out[j] += static_cast<Real>(multipliers[k]) * units[k][j];
    return out;
  }

 private:
  static std::vector<double> flat(const Rows& rows) {
    std::vector<double> out;
    for (const auto& row : rows)
      for (const Real x : row) out.push_back(static_cast<double>(x));
    return out;
  }
};

/// Of normal numbers; `forward` is added to the first of each row, which makes them separable from some size
/// on.
inline Rows normal_rows(std::size_t n, std::size_t dim, double forward, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Rows out(n);
  for (auto& row : out)
    for (std::size_t j = 0; j < dim; ++j) row.push_back(normal(random) + (j == 0 ? forward : 0.0));
  return out;
}

}  // namespace softstep::test
