#pragma once

// Powers of two that keep the kernels' numbers within the range of T, whatever the size of the data.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace softstep {

/// Score gaps in units of the power of two at or below the largest, which is returned. They may be far outside the range of T;
/// only their ratios matter to the kernel.
template <class T>
double scale_gaps(const double* gaps, std::size_t n, T* scaled) {
  const double largest = n == 0 ? 0.0 : *std::max_element(gaps, gaps + n);
  const int power = largest > 0.0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
  for (std::size_t t = 0; t < n; ++t) scaled[t] = static_cast<T>(std::ldexp(gaps[t], -power));
  return std::ldexp(1.0, power);
}

/// The exponent of the power of two at or below `largest`. A subnormal one counts as the smallest normal number, so that its
/// reciprocal is a number.
template <class T>
int unit_power(double largest) {
  return std::clamp(largest > 0.0 && std::isfinite(largest) ? std::ilogb(largest) : 0,
                    std::numeric_limits<T>::min_exponent - 1, std::numeric_limits<T>::max_exponent - 2);
}

/// The largest entry of a row, such that the reciprocal of its unit is a number of T; 0 and NaN stay.
template <class T>
double with_reciprocal(double largest) {
  constexpr auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  return largest == 0.0 ? 0.0 : std::isnan(largest) ? largest : std::max(largest, smallest);
}

}  // namespace softstep
