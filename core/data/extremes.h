#pragma once

#include <cmath>

namespace softstep::data {

/// The larger and the smaller of two, and NaN if one is: std::fmax passes a NaN over, and std::max keeps
/// whichever comes first.
inline double larger(double a, double b) { return std::isnan(a) || b <= a ? a : b; }
inline double smaller(double a, double b) { return std::isnan(a) || b >= a ? a : b; }

}  // namespace softstep::data
