#pragma once

#include <cstddef>
#include <vector>

namespace softstep {

/// The problem of DualState for few rows whose Gram matrix K is formed: minimise 1/2 l^T K l - t^T l over
/// l >= 0. Every multiplier below 0 leaves the face and every violated constraint enters it at once, with a
/// Cholesky factor for each face, and one at a time when that does not lessen their number (block principal
/// pivoting: J. J. Judice, F. M. Pires 1994; J. Kim, H. Park 2011). Some five faces, where the ascent takes
/// tens of products with the map.
///
/// K has the square of the rows' condition, so a certificate from the rows themselves is to judge the point.
class BlockPivoting {
 public:
  /// `gram`: K, row-major, of unit rows; rows of zeros are no constraints.
  BlockPivoting(std::vector<double> gram, std::vector<double> targets);

  /// False: no solution was found, as where none exists or the rows of a face nearly depend on each other.
  bool run();
  const std::vector<double>& multipliers() const { return multipliers_; }

 private:
  void factor();
  void solve(std::vector<double>& x) const;
  bool is_constraint(std::size_t k) const { return gram_[k * n_ + k] > 0.0; }

  std::size_t n_;
  std::vector<double> gram_, targets_, multipliers_, gradient_;
  std::vector<std::size_t> face_;  // rows, ascending
  std::vector<double> factor_;     // upper triangle of U, U^T U = K of the face, the diagonal inverted
};

}  // namespace softstep
