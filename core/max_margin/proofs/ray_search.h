#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/max_margin/constraints/linear_map.h"

namespace softstep {

/// Looks for the proof that data cannot be separated: multipliers mu >= 0, not all zero, with sum_k mu_k a_k
/// = 0.
///
/// Where there is such a ray the dual ascent follows it, but W = sum_k lambda_k a_k stays of the size of the
/// targets, so that
/// ||W|| / sum lambda falls only as fast as the multipliers grow, which may be slowly. Here the targets are
/// left out: conjugate gradients on 1/2 ||sum_k mu_k a_k||^2 over the positive multipliers go from lambda to
/// the nearest ray at the linear rate of its condition; a multiplier that would turn negative is fixed at 0.
class RaySearch {
 public:
  explicit RaySearch(LinearMap& map);
  /// Starts at `multipliers`; true if ||sum mu a|| <= tolerance * sum mu was reached with at most this many
  /// products, of which one more may check the last. go_on is called after each and returns false to stop.
  bool run(const std::vector<double>& multipliers, double tolerance, std::size_t most_products,
           const std::function<bool()>& go_on);
  const std::vector<double>& multipliers() const { return multipliers_; }
  const std::vector<double>& span() const { return span_; }

 private:
  bool refresh();
  bool count();
  std::size_t move(double length, double to_bound);

  LinearMap& map_;
  std::vector<double> multipliers_, span_, gradient_, direction_, image_span_, image_;
  std::function<bool()> go_on_;
  std::size_t products_ = 0;
};

}  // namespace softstep
