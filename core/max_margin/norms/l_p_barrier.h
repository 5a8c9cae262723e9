#pragma once

#include <vector>

#include "core/max_margin/constraints/rank_one_constraints.h"
#include "core/max_margin/norms/barrier.h"

namespace softstep {

/// 1 for every constraint and 3 for every entry of the matrix (SmoothedPower).
inline double l_p_barrier_parameter(const RankOneConstraints& constraints) {
  return static_cast<double>(constraints.size() + 3 * constraints.dim * constraints.dim);
}

/// The dual of min (1/p) sum |w|^p s.t. <A_k, W> >= 1, for p <= 2 (q = p / (p - 1) >= 2):
///   tau ((1/q) sum |C|^q - sum lambda) - sum log lambda,  C = sum_k lambda_k A_k,
/// with the smoothed power phi for (tau/q) |C|^q, so that W = phi'(C) / tau and <A_k, W> = 1 + 1 / (tau
/// lambda_k) at the minimiser.
class DualPowerBarrier final : public Barrier {
 public:
  DualPowerBarrier(const RankOneConstraints& constraints, double q) : constraints_(constraints), q_(q) {}
  double value(double tau, const std::vector<double>& x) override;
  double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) override;
  double magnitude(double tau, const std::vector<double>& x) override;
  double barrier_parameter() const override { return l_p_barrier_parameter(constraints_); }
  std::vector<Pair> pairs(double tau, const std::vector<double>& x) override;

 private:
  const RankOneConstraints& constraints_;
  double q_;
};

/// The problem itself, for p >= 2, over the d^2 entries of W:
///   (tau / p) sum |w|^p - sum log (<A_k, W> - 1),
/// with phi for the powers and lambda_k = 1 / (tau (<A_k, W> - 1)). The Hessian is diagonal plus N rows:
/// solved by way of an N x N matrix.
class PrimalPowerBarrier final : public Barrier {
 public:
  PrimalPowerBarrier(const RankOneConstraints& constraints, double p) : constraints_(constraints), p_(p) {}
  double value(double tau, const std::vector<double>& x) override;
  double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) override;
  double magnitude(double tau, const std::vector<double>& x) override;
  double barrier_parameter() const override { return l_p_barrier_parameter(constraints_); }
  std::vector<Pair> pairs(double tau, const std::vector<double>& x) override;

 private:
  const RankOneConstraints& constraints_;
  double p_;
};

}  // namespace softstep
