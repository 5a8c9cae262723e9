#include "core/max_margin/ascent/active_set_phase.h"

#include <algorithm>
#include <cmath>

namespace softstep {
namespace {

// How far the residual of a face falls before the face is looked at again. Measured: 0.3 makes the rounds
// cycle, 0.01 costs more products than better faces save.
constexpr double reduction = 0.05;
constexpr double keep_from = 0.7;  // smallest <a_k, W> / target_k of a point worth keeping
constexpr int most_steps_on_face = 100, most_faces = 60, most_falls = 6;

}  // namespace

ActiveSetPhase::ActiveSetPhase(DualState& state, FacePreconditioner& preconditioner)
    : state_(state),
      preconditioner_(preconditioner),
      face_(state.gradient.size()),
      direction_(state.gradient.size()),
      preconditioned_(state.gradient.size()),
      best_(state.multipliers) {
  for (std::size_t k = 0; k < face_.size(); ++k) face_[k] = state_.gradient[k] < 0.0;
}

// A point whose constraints are badly violated is a worse start for the safe phase than lambda = 0.
void ActiveSetPhase::give_up() {
  alive_ = false;
  if (best_smallest_ > keep_from)
    state_.multipliers = best_;
  else
    std::fill(state_.multipliers.begin(), state_.multipliers.end(), 0.0);
  state_.stale = true;
}

void ActiveSetPhase::restart() {
  face_begun_ = false;
  judged_ = true;
  best_value_ = 0.0;
}

// M^-1 gradient and its product with the gradient, on the face.
void ActiveSetPhase::begin_face() {
  preconditioner_.set_face(face_);
  preconditioner_.apply(state_.gradient, preconditioned_);
  residual_ = 0.0;
  for (std::size_t k = 0; k < face_.size(); ++k) residual_ += preconditioned_[k] * state_.gradient[k];
  direction_ = preconditioned_;
  goal_ = reduction * reduction * residual_;
  steps_on_face_ = 0;
  face_begun_ = true;
  if (++faces_ > most_faces) give_up();
}

void ActiveSetPhase::judge() {
  judged_ = true;
  state_.rescale();
  const double value = state_.best_dual_value();
  if (value > best_value_ * (1.0 + 1e-12)) {
    best_value_ = value;
    best_ = state_.multipliers;
    best_smallest_ = 1.0;
    for (std::size_t k = 0; k < face_.size(); ++k)
      if (state_.targets[k] > 0.0)
        best_smallest_ = std::min(best_smallest_, 1.0 + state_.gradient[k] / state_.targets[k]);
    falls_in_a_row_ = 0;
    return;
  }
  ++falls_;
  if (++falls_in_a_row_ == 2 || falls_ > most_falls) give_up();
}

void ActiveSetPhase::step() {
  if (!judged_) judge();
  if (alive_ && !face_begun_) begin_face();
  if (!alive_) return;
  const DualState::Line line = state_.look_along(direction_);
  // On a face without curvature the dual has no maximum. The safe phase finds out whether the data can be
  // separated.
  if (!(line.curvature > 0.0) || !(residual_ > 0.0)) {
    give_up();
    return;
  }
  const double length = -residual_ / line.curvature;
  for (std::size_t k = 0; k < face_.size(); ++k) state_.multipliers[k] += length * direction_[k];
  state_.follow(length);
  preconditioner_.apply(state_.gradient, preconditioned_);
  double residual = 0.0;
  for (std::size_t k = 0; k < face_.size(); ++k) residual += preconditioned_[k] * state_.gradient[k];
  for (std::size_t k = 0; k < face_.size(); ++k)
    direction_[k] = preconditioned_[k] + residual / residual_ * direction_[k];
  residual_ = residual;
  if (!(residual > goal_) || ++steps_on_face_ == most_steps_on_face) fix_and_release();
}

void ActiveSetPhase::fix_and_release() {
  bool changes = false, negative = false;
  for (std::size_t k = 0; k < face_.size(); ++k) {
    const bool fix = state_.multipliers[k] < 0.0;
    const bool release = !face_[k] && state_.gradient[k] < 0.0;
    negative = negative || fix;
    changes = changes || fix || release;
    if (fix) state_.multipliers[k] = 0.0;
    face_[k] = release || state_.multipliers[k] > 0.0;
  }
  if (!changes && steps_on_face_ < most_steps_on_face) {
    goal_ *= reduction * reduction;  // the right face, it seems: on to the solution
    return;
  }
  state_.stale = negative;
  face_begun_ = false;
  judged_ = false;
}

}  // namespace softstep
