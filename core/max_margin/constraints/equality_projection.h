#pragma once

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"

namespace softstep {

/// Projects onto the matrices W with <E_e, W> = 0 for all of a few equalities E_e written out, `size` numbers
/// each.
class EqualityProjection {
 public:
  EqualityProjection(std::vector<double> equalities, std::size_t size, const simd::Kernels<double>& kernels);

  /// ||E_e||; a zero equality asks for nothing.
  const std::vector<double>& sizes() const { return sizes_; }
  /// Linearly independent equalities.
  std::size_t rank() const { return independent_.size(); }
  /// Takes the part of `x` along the equalities away, twice: what is left is orthogonal to them to rounding
  /// of its own length, however short it is.
  void project(double* x) const;
  /// mu with x + sum_e mu_e E_e = project(x); zero at dependent equalities.
  std::vector<double> multipliers(const double* x) const;
  /// x += sum_e mu_e E_e
  void add(const std::vector<double>& mu, double* x) const;
  /// max_e |<E_e, x>| / ||E_e||
  double residual(const double* x) const;

 private:
  std::vector<double> rows_;  // E_e / ||E_e||
  std::size_t size_;
  const simd::Kernels<double>& kernels_;
  std::vector<double> sizes_, basis_;
  std::vector<std::size_t> independent_;
  std::vector<double> factor_;  // row r: independent equality r = sum_{c <= r} factor_rc basis_c, packed
};

}  // namespace softstep
