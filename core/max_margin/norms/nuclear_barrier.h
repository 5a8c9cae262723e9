#pragma once

#include <vector>

#include "core/linalg/svd.h"
#include "core/max_margin/constraints/rank_one_constraints.h"
#include "core/max_margin/norms/barrier.h"

namespace softstep {

/// The dual of the nuclear-norm problem, max sum lambda s.t. lambda >= 0, ||C|| <= 1 in the spectral norm,
/// C = sum_k lambda_k A_k = U S V^T:
///   -tau sum lambda - log det [[I, C], [C^T, I]] - sum log lambda,
/// self-concordant. The block matrix has the eigenvectors (u_j, +-v_j) / sqrt 2 with eigenvalues 1 +- s_j, so
/// that with X = U^T dC V the Hessian is the sum of squares
///   1/2 sum_{j<l} (X_jl + X_lj)^2 (1 / ((1+s_j)(1+s_l)) + 1 / ((1-s_j)(1-s_l)))
///             + (X_jl - X_lj)^2 (1 / ((1+s_j)(1-s_l)) + 1 / ((1-s_j)(1+s_l)))
///   + sum_j X_jj^2 (1 / (1+s_j)^2 + 1 / (1-s_j)^2) + sum_k (d lambda_k / lambda_k)^2,
/// and W = (2 / tau) U s / (1 - s^2) V^T satisfies <A_k, W> = 1 + 1 / (tau lambda_k) at the minimiser. Sizes
/// in the Hessian range over tau^2, so the system is solved from the squares' roots.
class NuclearBarrier final : public Barrier {
 public:
  explicit NuclearBarrier(const RankOneConstraints& constraints) : constraints_(constraints) {}
  double value(double tau, const std::vector<double>& x) override;
  double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) override;
  double magnitude(double tau, const std::vector<double>& x) override;
  double barrier_parameter() const override {
    return static_cast<double>(constraints_.size() + constraints_.dim);
  }
  std::vector<Pair> pairs(double tau, const std::vector<double>& x) override;

 private:
  Svd svd_of(const std::vector<double>& x) const;
  std::vector<double> corrected(double tau, const std::vector<double>& x, const Svd& svd,
                                const std::vector<double>& sizes) const;

  const RankOneConstraints& constraints_;
};

}  // namespace softstep
