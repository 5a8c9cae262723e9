#pragma once

#include <cstddef>
#include <vector>

#include "core/max_margin/constraints/linear_map.h"

namespace softstep {

/// A point of the dual problem
///   minimise 1/2 ||W||^2 - sum_k target_k lambda_k over lambda >= 0, W = sum_k lambda_k a_k
/// with its W and gradient <a_k, W> - target_k carried along. All step lengths come from norms in W's space,
/// so that errors grow with the condition of the constraints and not with its square.
class DualState {
 public:
  DualState(LinearMap& map, std::vector<double> targets);

  LinearMap& map;
  std::vector<double> targets, multipliers, span, gradient;
  /// The multipliers were set and W and gradient have not followed yet.
  bool stale = false;
  /// Lower bound of the largest eigenvalue of the Gram matrix.
  double largest_curvature = 0.0;

  /// ||sum_k lambda_k a_k||^2 as of the last refresh().
  double combination_squared = 0.0;

  /// Recomputes the gradient, and W from the multipliers if it has drifted from them. One adjoint, one
  /// product.
  void refresh();
  bool feasible() const;
  double squared_norm() const { return map.squared_norm(span.data()); }
  /// 2 (dual value) at the best multiple of the multipliers: (sum target_k lambda_k)^2 / ||W||^2.
  double best_dual_value() const;
  /// Moves to that multiple. Leaves the point alone where there is none.
  void rescale();

  /// <gradient, p> and ||sum_k p_k a_k||^2; keeps the images of p for move(). One adjoint, one product.
  struct Line {
    double slope, curvature;
  };
  Line look_along(const std::vector<double>& p);
  /// W and gradient after a step of this length along the p last looked at; the multipliers are the caller's.
  void follow(double length);
  /// <x, K p> for the p last looked at.
  double image_product(const std::vector<double>& x) const;
  /// Replaces the point by the p last looked at, times -1: a direction in which the dual grows without bound.
  void become_ray(const std::vector<double>& p);

 private:
  std::vector<double> image_span_, image_;  // sum_k p_k a_k and <a_k, that>
};

}  // namespace softstep
