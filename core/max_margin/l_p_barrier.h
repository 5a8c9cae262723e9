#pragma once

#include <vector>

#include "core/max_margin/barrier.h"
#include "core/max_margin/rank_one_constraints.h"

namespace softstep {

/// The dual of min (1/p) sum |w|^p s.t. <A_k, W> >= 1, for p <= 2 (q = p / (p - 1) >= 2: twice differentiable):
///   tau ((1/q) sum |C|^q - sum lambda) - sum log lambda,  C = sum_k lambda_k A_k,
/// with W = sign(C) |C|^(q-1) and <A_k, W> = 1 + 1 / (tau lambda_k) at the minimiser.
class DualPowerBarrier final : public Barrier {
 public:
  DualPowerBarrier(const RankOneConstraints& constraints, double q) : constraints_(constraints), q_(q) {}
  double value(double tau, const std::vector<double>& x) override;
  double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) override;
  double magnitude(double tau, const std::vector<double>& x) override;
  double barrier_parameter() const override { return static_cast<double>(constraints_.size()); }
  std::vector<Pair> pairs(double tau, const std::vector<double>& x) override;

 private:
  const RankOneConstraints& constraints_;
  double q_;
};

/// The problem itself, for p >= 2, over the d^2 entries of W:
///   (tau / p) sum |w|^p - sum log (<A_k, W> - 1),
/// with lambda_k = 1 / (tau (<A_k, W> - 1)). The Hessian is diagonal plus N rows: solved by way of an N x N matrix.
class PrimalPowerBarrier final : public Barrier {
 public:
  PrimalPowerBarrier(const RankOneConstraints& constraints, double p) : constraints_(constraints), p_(p) {}
  double value(double tau, const std::vector<double>& x) override;
  double newton(double tau, const std::vector<double>& x, std::vector<double>& direction) override;
  double magnitude(double tau, const std::vector<double>& x) override;
  double barrier_parameter() const override { return static_cast<double>(constraints_.size()); }
  std::vector<Pair> pairs(double tau, const std::vector<double>& x) override;

 private:
  const RankOneConstraints& constraints_;
  double p_;
};

/// sign(x) |x|^power, entry by entry
std::vector<double> signed_power(const std::vector<double>& x, double power);

}  // namespace softstep
