#pragma once

#include <cstddef>
#include <vector>

#include "core/max_margin/constraints/linear_map.h"

namespace softstep {

/// What the solver needs to know of the constraints <A_k, W> >= 1 beside the unit rows a_k = A_k / ||A_k||.
class ConstraintMap : public LinearMap {
 public:
  /// ||A_k|| / 2^exponent(); 0 where row k is no constraint, or where A_k itself is zero.
  virtual const std::vector<double>& sizes() const = 0;
  virtual int exponent() const = 0;
  /// A constraint that no W satisfies, A_k = 0; n_rows() if there is none.
  virtual std::size_t zero_row() const = 0;

  /// <a_k, a_l> of all rows, n_rows() x n_rows(); empty where the map does not offer it: for few rows.
  virtual std::vector<double> gram() { return {}; }

  /// Entries of W.
  virtual std::size_t matrix_size() const = 0;
  /// W of these coordinates.
  virtual std::vector<double> matrix(const double* span) const = 0;
  /// values_k = <a_k, W>, from the constraints as they were given: nothing that the solver derived takes
  /// part.
  virtual void apply_matrix(const double* matrix, double* values) = 0;
};

}  // namespace softstep
