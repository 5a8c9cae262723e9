#pragma once

#include <cstddef>
#include <vector>

namespace softstep {

/// How far multipliers lambda_k = multipliers_k / sizes_k >= 0 and W = sum_k lambda_k A_k are from solving
/// min 1/2 ||W||^2 subject to <A_k, W> >= 1, at the best common factor of the two.
struct Certificate {
  double factor = 0.0;        ///< s = sum lambda / ||W||^2, which maximises the dual of s lambda
  double smallest = 0.0;      ///< min_k <A_k, s W>, at most 1
  double duality_gap = 0.0;   ///< of s W / smallest, relative; +infinity if smallest <= 0
  double kkt_residual = 0.0;  ///< max_k |min(lambda_k / max lambda, <A_k, s W> - 1)|
  double error() const { return duality_gap > kkt_residual ? duality_gap : kkt_residual; }
  bool within(double tolerance) const { return duality_gap <= tolerance && kkt_residual <= tolerance; }
};

/// `values` are <a_k, W> of the unit rows a_k = A_k / sizes_k; rows of size 0 are not constraints.
/// squared_norm is
/// ||W||^2, combination_squared ||sum lambda_k A_k||^2.
Certificate measure(const std::vector<double>& multipliers, const std::vector<double>& sizes,
                    const std::vector<double>& values, double squared_norm, double combination_squared);

/// ||W|| / sum_k multipliers_k for W = sum_k multipliers_k a_k: the length of a convex combination of the
/// unit rows. It is never below the margin of the unit rows, so data that can be separated keep it away from
/// 0.
double combination_length(const std::vector<double>& multipliers, double squared_norm);

}  // namespace softstep
