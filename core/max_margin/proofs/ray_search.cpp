#include "core/max_margin/proofs/ray_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/max_margin/proofs/certificate.h"

namespace softstep {

RaySearch::RaySearch(LinearMap& map) : map_(map) {}

bool RaySearch::count() {
  ++products_;
  return go_on_();
}

bool RaySearch::refresh() {
  map_.adjoint(multipliers_.data(), span_.data());
  map_.apply(span_.data(), gradient_.data());
  return count();
}

bool RaySearch::run(const std::vector<double>& multipliers, double tolerance, std::size_t most_products,
                    const std::function<bool()>& go_on) {
  go_on_ = go_on;
  multipliers_ = multipliers;
  products_ = 0;
  for (auto* image : {&span_, &image_span_}) image->resize(map_.span_size());
  for (auto* values : {&gradient_, &direction_, &image_}) values->resize(map_.n_rows());
  double sum = 0.0;
  for (const double l : multipliers_) sum += l;
  if (!(sum > 0.0) || !std::isfinite(sum)) return false;
  for (double& l : multipliers_) l /= sum;
  if (!refresh()) return false;
  const std::size_t n = multipliers_.size();
  double squared = 0.0;  // of the free gradient
  bool fresh = true;     // no conjugate direction yet
  for (;;) {
    if (combination_length(multipliers_, map_.squared_norm(span_.data())) <= tolerance) {
      // What the recurrence says is believed once it has been computed afresh.
      if (!refresh()) return false;
      if (combination_length(multipliers_, map_.squared_norm(span_.data())) <= tolerance) return true;
      fresh = true;
    }
    if (products_ >= most_products) return false;
    double now = 0.0;
    for (std::size_t k = 0; k < n; ++k)
      if (multipliers_[k] > 0.0) now += gradient_[k] * gradient_[k];
    if (!(now > 0.0)) return false;
    const double factor = fresh ? 0.0 : now / squared;
    for (std::size_t k = 0; k < n; ++k)
      direction_[k] = multipliers_[k] > 0.0 ? -gradient_[k] + (fresh ? 0.0 : factor * direction_[k]) : 0.0;
    squared = now;
    map_.adjoint(direction_.data(), image_span_.data());
    map_.apply(image_span_.data(), image_.data());
    if (!count()) return false;
    const double curvature = map_.squared_norm(image_span_.data());
    if (!(curvature > 0.0)) return false;
    double to_bound = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < n; ++k)
      if (direction_[k] < 0.0) to_bound = std::min(to_bound, -multipliers_[k] / direction_[k]);
    fresh = move(now / curvature, to_bound) > 0;
    // The multipliers are going to 0, which is no ray.
    double left = 0.0;
    for (const double l : multipliers_) left += l;
    if (!(left > 0.1)) return false;
  }
}

// Takes a step of this length, or to the first bound. Multipliers that reach their bound become 0; returns
// how many did.
std::size_t RaySearch::move(double length, double to_bound) {
  const double step = std::min(length, to_bound);
  std::size_t n_fixed = 0;
  for (std::size_t k = 0; k < multipliers_.size(); ++k) {
    if (!(multipliers_[k] > 0.0)) continue;
    const bool hit = direction_[k] < 0.0 && -multipliers_[k] / direction_[k] <= step;
    multipliers_[k] = hit ? 0.0 : std::max(0.0, multipliers_[k] + step * direction_[k]);
    if (multipliers_[k] == 0.0) ++n_fixed;
  }
  for (std::size_t j = 0; j < span_.size(); ++j) span_[j] += step * image_span_[j];
  for (std::size_t k = 0; k < gradient_.size(); ++k) gradient_[k] += step * image_[k];
  return n_fixed;
}

}  // namespace softstep
