#pragma once

#include <cstddef>
#include <vector>

#include "core/max_margin/ascent/active_set_phase.h"
#include "core/max_margin/ascent/dual_state.h"
#include "core/max_margin/ascent/face_preconditioner.h"

namespace softstep {

/// Solves the problem of DualState. First the active-set phase; where that gives up, conjugate gradients on
/// the free multipliers with steps that release or fix many at once, which converge whatever the data (MPRGP:
/// Z. Dostal, J. Schoeberl, "Minimizing quadratic functions subject to bound constraints with the rate of
/// convergence and finite termination", 2005). These go without the preconditioner: measured, it saves little
/// there, and on data that cannot be separated it keeps the multipliers from growing along the ray that
/// proves it.
class DualAscent {
 public:
  DualAscent(LinearMap& map, std::vector<double> targets, int n_threads);

  /// One step: at most one adjoint and one product with the map.
  void step();
  /// DualState::refresh(), and a new start of the conjugate directions.
  void refresh();
  /// To end with: a feasible point that is not 0, refreshed.
  void make_feasible();
  /// Other targets from here on.
  void set_targets(std::vector<double> targets);

  const DualState& state() const { return state_; }
  /// The active-set phase has given up: from here on no multiplier is negative and no step loses.
  bool safe() const { return !active_set_.alive(); }
  /// A direction mu >= 0 was met in which the dual grows without bound to rounding, sum_k mu_k a_k ~ 0;
  /// state() holds it in place of the multipliers.
  bool unbounded() const { return unbounded_; }

 private:
  void conjugate_step();
  void projected_step();
  void release_step();
  void take_free_gradient();
  void report_ray(const std::vector<double>& direction);
  void restart();

  DualState state_;
  FacePreconditioner preconditioner_;
  ActiveSetPhase active_set_;
  std::vector<double> direction_, change_, free_gradient_;
  double bend_ = 0.0;  // how far the next step goes on along the direction, bent at the bounds; 0: not at all
  bool direction_is_set_ = false, last_bend_was_poor_ = false, unbounded_ = false;
};

}  // namespace softstep
