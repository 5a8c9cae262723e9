#pragma once

// Powers of two that keep the kernels' numbers within the range of T, whatever the size of the data.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace softstep {

/// The exponent of the power of two at or below `largest`; 0 for 0 and for what is not finite.
inline int power_of(double largest) {
  return largest > 0.0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
}

/// Score gaps in units of the power of two at or below the largest, whose exponent is returned. They may be
/// far outside the range of T; only their ratios matter to the kernel.
template <class T>
int scale_gaps(const double* gaps, std::size_t n, T* scaled) {
  const double largest = n == 0 ? 0.0 : *std::max_element(gaps, gaps + n);
  const int power = power_of(largest);
  for (std::size_t t = 0; t < n; ++t) scaled[t] = static_cast<T>(std::ldexp(gaps[t], -power));
  return power;
}

/// Products with units of this power, and with the numbers that are counted in them, stay normal doubles;
/// beyond, a sample's gaps are kept in their units.
inline bool is_far(int power) { return power < -900 || power > 900; }

/// The same where a subnormal number counts as the smallest normal one, so that its reciprocal is a number.
template <class T>
int unit_power(double largest) {
  return std::clamp(power_of(largest), std::numeric_limits<T>::min_exponent - 1,
                    std::numeric_limits<T>::max_exponent - 2);
}

/// A power of two near `largest`, in leaps: 0 for data of ordinary size, which stay as they are to the bit.
/// Numbers divided by it are about 2^-(leap / 2) to 2^(leap / 2), so that products of four of them, and sums
/// of many such products, are normal numbers of T.
template <class T>
int coarse_power(double largest) {
  constexpr int leap = sizeof(T) == sizeof(float) ? 32 : 256;
  if (!(largest > 0.0) || !std::isfinite(largest)) return 0;
  return leap * static_cast<int>(std::lround(static_cast<double>(std::ilogb(largest)) / leap));
}

/// a 2^power.
template <class T>
T in_units(double a, int power) {
  return static_cast<T>(power == 0 ? a : std::ldexp(a, power));
}

/// Whether all are the same power, as none is.
inline bool are_alike(const std::vector<int>& powers) {
  return std::all_of(powers.begin(), powers.end(), [&](int power) { return power == powers[0]; });
}

/// The largest entry of a row, such that the reciprocal of its unit is a number of T; 0 and NaN stay.
template <class T>
double with_reciprocal(double largest) {
  constexpr auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  return largest == 0.0 ? 0.0 : std::isnan(largest) ? largest : std::max(largest, smallest);
}

}  // namespace softstep
