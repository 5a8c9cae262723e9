#include "core/max_margin/ascent/dual_ascent.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {

DualAscent::DualAscent(LinearMap& map, std::vector<double> targets, int n_threads)
    : state_(map, std::move(targets)),
      preconditioner_(map, n_threads),
      active_set_(state_, preconditioner_),
      direction_(map.n_rows()),
      change_(map.n_rows()),
      free_gradient_(map.n_rows()) {}

void DualAscent::restart() {
  direction_is_set_ = false;
  bend_ = 0.0;
}

void DualAscent::refresh() {
  state_.refresh();
  restart();
}

void DualAscent::make_feasible() {
  bool all_zero = true;
  for (double& l : state_.multipliers) {
    l = std::max(0.0, l);
    all_zero = all_zero && l == 0.0;
  }
  if (all_zero) state_.multipliers = state_.targets;
  refresh();
}

void DualAscent::set_targets(std::vector<double> targets) {
  for (std::size_t k = 0; k < targets.size(); ++k) state_.gradient[k] += state_.targets[k] - targets[k];
  state_.targets = std::move(targets);
  active_set_.restart();
  restart();
}

void DualAscent::step() {
  if (state_.stale) {
    refresh();
    return;
  }
  if (active_set_.alive()) {
    active_set_.step();
    return;
  }
  if (bend_ > 0.0) {
    projected_step();
    return;
  }
  // Work on the free multipliers while their part of the gradient outweighs that of the fixed ones that want
  // to be released. The free part counts only as far as its steps are not cut short by a bound.
  double free = 0.0, fixed = 0.0;
  for (std::size_t k = 0; k < state_.gradient.size(); ++k) {
    const double g = state_.gradient[k], l = state_.multipliers[k];
    if (l > 0.0)
      free += std::min(l * state_.largest_curvature, g) * g;
    else if (g < 0.0)
      fixed += g * g;
  }
  if (fixed <= free)
    conjugate_step();
  else
    release_step();
}

void DualAscent::report_ray(const std::vector<double>& direction) {
  state_.become_ray(direction);
  unbounded_ = true;
}

void DualAscent::take_free_gradient() {
  for (std::size_t k = 0; k < free_gradient_.size(); ++k)
    free_gradient_[k] = state_.multipliers[k] > 0.0 ? state_.gradient[k] : 0.0;
}

void DualAscent::conjugate_step() {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::size_t n = direction_.size();
  std::vector<double>& multipliers = state_.multipliers;
  if (!direction_is_set_) {
    take_free_gradient();
    direction_ = free_gradient_;
    direction_is_set_ = true;
  }
  const DualState::Line line = state_.look_along(direction_);
  if (!(line.slope > 0.0)) {  // rounding has spoilt the direction
    restart();
    return;
  }
  double to_bound = infinity;
  for (std::size_t k = 0; k < n; ++k)
    if (direction_[k] > 0.0) to_bound = std::min(to_bound, multipliers[k] / direction_[k]);
  const double to_minimum = line.curvature > 0.0 ? line.slope / line.curvature : infinity;
  const double length = std::min(to_minimum, to_bound);
  if (std::isinf(length)) {
    report_ray(direction_);
    return;
  }
  for (std::size_t k = 0; k < n; ++k) {
    if (!(multipliers[k] > 0.0)) continue;
    const bool hit = direction_[k] > 0.0 && multipliers[k] / direction_[k] <= length;
    multipliers[k] = hit ? 0.0 : std::max(0.0, multipliers[k] - length * direction_[k]);
  }
  state_.follow(-length);
  if (to_minimum <= to_bound) {
    take_free_gradient();
    const double factor = state_.image_product(free_gradient_) / line.curvature;
    for (std::size_t k = 0; k < n; ++k)
      direction_[k] = multipliers[k] > 0.0 ? free_gradient_[k] - factor * direction_[k] : 0.0;
    return;
  }
  restart();
  // This step ends at the first bound. The next one, projected_step(), goes on along the same direction and
  // projects to the bounds, by bend_. In a direction of almost no curvature the minimum may be arbitrarily
  // far: then bend_ is limited.
  bend_ = std::min(to_minimum - to_bound, 1e3 * std::max(to_bound, 1.0 / state_.largest_curvature));
}

// lambda <- P(lambda - c p), or a part of the way there, which is feasible too: whatever the line search
// finds, its product is used.
void DualAscent::projected_step() {
  const std::size_t n = change_.size();
  std::vector<double>& multipliers = state_.multipliers;
  double slope = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    const double l = multipliers[k];
    change_[k] = l > 0.0 ? std::max(0.0, l - bend_ * direction_[k]) - l : 0.0;
    slope += state_.gradient[k] * change_[k];
  }
  // The projected direction may not descend, or may have gained almost nothing the last time. The projected
  // gradient always descends.
  const bool by_gradient = !(slope < 0.0) || last_bend_was_poor_;
  if (by_gradient)
    for (std::size_t k = 0; k < n; ++k) {
      const double l = multipliers[k];
      change_[k] = l > 0.0 ? std::max(0.0, l - state_.gradient[k] / state_.largest_curvature) - l : 0.0;
    }
  restart();
  const DualState::Line line = state_.look_along(change_);
  last_bend_was_poor_ = false;
  if (!(line.slope < 0.0)) return;
  const double length = line.curvature > 0.0 ? std::min(1.0, -line.slope / line.curvature) : 1.0;
  last_bend_was_poor_ = !by_gradient && length < 0.1;
  for (std::size_t k = 0; k < n; ++k) multipliers[k] = std::max(0.0, multipliers[k] + length * change_[k]);
  state_.follow(length);
}

void DualAscent::release_step() {
  const std::size_t n = change_.size();
  std::vector<double>& multipliers = state_.multipliers;
  for (std::size_t k = 0; k < n; ++k)
    change_[k] = multipliers[k] > 0.0 ? 0.0 : std::min(0.0, state_.gradient[k]);
  const DualState::Line line = state_.look_along(change_);
  restart();
  if (!(line.curvature > 0.0)) {
    report_ray(change_);
    return;
  }
  const double length = line.slope / line.curvature;
  for (std::size_t k = 0; k < n; ++k) multipliers[k] -= length * change_[k];
  state_.follow(-length);
}

}  // namespace softstep
