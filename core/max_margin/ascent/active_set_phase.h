#pragma once

#include <cstddef>
#include <vector>

#include "core/max_margin/ascent/dual_state.h"
#include "core/max_margin/ascent/face_preconditioner.h"

namespace softstep {

/// The fast way to the set of support vectors: conjugate gradients on a face without regard to bounds, then
/// every multiplier below 0 is fixed and every violated constraint released at once (primal-dual active sets:
/// M. Hintermueller, K. Ito, K. Kunisch 2003, with inexact solves). A few rounds where the problem is well
/// conditioned; nothing is guaranteed, so the phase watches the dual value and gives up when that stops
/// rising.
class ActiveSetPhase {
 public:
  ActiveSetPhase(DualState& state, FacePreconditioner& preconditioner);
  /// One adjoint and one product at most. In between multipliers may be negative (DualState::feasible).
  void step();
  /// The targets have changed; call with a feasible point.
  void restart();
  bool alive() const { return alive_; }
  /// Ends the phase, at the best point it has seen or at 0.
  void give_up();

 private:
  void begin_face();
  void judge();
  void fix_and_release();

  DualState& state_;
  FacePreconditioner& preconditioner_;
  std::vector<char> face_;
  std::vector<double> direction_, preconditioned_, best_;
  double residual_ = 0.0, goal_ = 0.0, best_value_ = 0.0, best_smallest_ = 0.0;
  int steps_on_face_ = 0, faces_ = 0, falls_ = 0, falls_in_a_row_ = 0;
  bool alive_ = true, face_begun_ = false, judged_ = true;
};

}  // namespace softstep
