#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace softstep {

/// The constraint matrix of the max-margin problem as a linear map that is never formed. Row k is the unit
/// vector a_k = A_k / ||A_k||; the space it lives in (d x d matrices, or as much of it as the queries span)
/// has span_size coordinates in an orthonormal basis. Rows that are not constraints (optimal tokens) are
/// zero.
class LinearMap {
 public:
  virtual ~LinearMap() = default;
  virtual std::size_t n_rows() const = 0;
  virtual std::size_t span_size() const = 0;
  /// span = sum_k multipliers_k a_k
  virtual void adjoint(const double* multipliers, double* span) = 0;
  /// values_k = <a_k, span>
  virtual void apply(const double* span, double* values) = 0;
  /// Squared norm in the span, summed in a fixed order.
  virtual double squared_norm(const double* span) const = 0;
  /// Runs of rows (first, count) that are likely to depend on each other, for a preconditioner.
  virtual std::vector<std::pair<std::size_t, std::size_t>> blocks() const = 0;
  /// Of a map whose rows are several processes', blocks() are those of this one. Gives `values`, which has
  /// the values of these, those of all other rows.
  virtual void share(double* values) { static_cast<void>(values); }
  /// gram[count x count]: <a_k, a_l> for the rows of a block.
  virtual void block_gram(std::size_t first, std::size_t count, double* gram) = 0;
  /// span = a_k
  virtual void unit_row(std::size_t k, double* span) const = 0;
  /// Multiply-adds of adjoint() and apply() together.
  virtual double product_cost() const = 0;
};

}  // namespace softstep
