#pragma once

// The larger and the smaller of what was measured, for checks. std::fmax and std::max pass a NaN over, so
// that a run that gave no number would be hidden by those that gave one. Here NaN stays, and passes no check.

#include <cmath>
#include <limits>
#include <span>

namespace softstep::program::reproduce {

inline double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }
inline double smaller(double a, double b) { return std::isnan(a) || a < b ? a : b; }

/// Of many; -infinity and infinity of none.
inline double largest_of(std::span<const double> values) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double value : values) largest = larger(largest, value);
  return largest;
}
inline double smallest_of(std::span<const double> values) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const double value : values) smallest = smaller(smallest, value);
  return smallest;
}

}  // namespace softstep::program::reproduce
