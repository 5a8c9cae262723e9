#include "core/max_margin/ascent/dual_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {
namespace {

void add(std::vector<double>& y, double a, const std::vector<double>& x) {
  for (std::size_t k = 0; k < y.size(); ++k) y[k] += a * x[k];
}

double product(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += x[k] * y[k];
  return sum;
}

}  // namespace

DualState::DualState(LinearMap& linear_map, std::vector<double> target_values)
    : map(linear_map),
      targets(std::move(target_values)),
      multipliers(map.n_rows(), 0.0),
      span(map.span_size(), 0.0),
      gradient(map.n_rows()),
      image_span_(map.span_size()),
      image_(map.n_rows()) {
  for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] = -targets[k];
}

void DualState::refresh() {
  map.adjoint(multipliers.data(), image_span_.data());
  combination_squared = map.squared_norm(image_span_.data());
  double drift = 0.0, sum = 0.0;
  for (std::size_t j = 0; j < span.size(); ++j)
    drift += (image_span_[j] - span[j]) * (image_span_[j] - span[j]);
  for (const double l : multipliers) sum += std::fabs(l);
  // The W carried along is replaced by the new sum only if the two differ by more than the rounding of such a
  // sum. Else it is as good a sum, and better for the targets: every step since has corrected it in their
  // direction.
  if (!(std::sqrt(drift) <= 4.0 * std::numeric_limits<double>::epsilon() * sum)) span.swap(image_span_);
  map.apply(span.data(), gradient.data());
  add(gradient, -1.0, targets);
  stale = false;
}

bool DualState::feasible() const {
  return !stale && std::all_of(multipliers.begin(), multipliers.end(), [](double l) { return l >= 0.0; });
}

double DualState::best_dual_value() const {
  const double sum = product(targets, multipliers);
  return sum * sum / squared_norm();
}

void DualState::rescale() {
  const double factor = product(targets, multipliers) / squared_norm();
  if (!(factor > 0.0) || !std::isfinite(factor)) return;
  for (double& l : multipliers) l *= factor;
  for (double& w : span) w *= factor;
  for (std::size_t k = 0; k < gradient.size(); ++k)
    gradient[k] = factor * (gradient[k] + targets[k]) - targets[k];
}

DualState::Line DualState::look_along(const std::vector<double>& p) {
  map.adjoint(p.data(), image_span_.data());
  map.apply(image_span_.data(), image_.data());
  const Line line{product(gradient, p), map.squared_norm(image_span_.data())};
  const double length = product(p, p);
  if (length > 0.0) largest_curvature = std::max(largest_curvature, line.curvature / length);
  return line;
}

void DualState::follow(double length) {
  add(span, length, image_span_);
  add(gradient, length, image_);
}

double DualState::image_product(const std::vector<double>& x) const { return product(x, image_); }

void DualState::become_ray(const std::vector<double>& p) {
  for (std::size_t k = 0; k < p.size(); ++k) multipliers[k] = std::max(0.0, -p[k]);
  for (std::size_t k = 0; k < span.size(); ++k) span[k] = -image_span_[k];
}

}  // namespace softstep
