#pragma once

// 520 decimal digits with an exponent of 62 bits: enough for the textbook formula to survive |W| = 1e3, where
// the gradient is about 1e-400, and for the pairwise reference at any |W|.

#include <cmath>
#include <vector>

#include "support/digits.h"

namespace softstep::test {

using Exact = Digits<520>;

inline Exact norm_of(const std::vector<Exact>& x) {
  Exact squared(0);
  for (const Exact& value : x) squared += value * value;
  return sqrt(squared);
}

/// | a/|a| - b/|b| |; NaN if a has no direction.
template <class T>
double direction_error(const std::vector<T>& computed, const std::vector<Exact>& exact) {
  std::vector<Exact> a(computed.begin(), computed.end()), difference;
  const Exact norm_a = norm_of(a), norm_b = norm_of(exact);
  if (!(norm_a > 0) || !isfinite(norm_a)) return NAN;
  for (std::size_t k = 0; k < a.size(); ++k) difference.push_back(a[k] / norm_a - exact[k] / norm_b);
  return static_cast<double>(norm_of(difference));
}

}  // namespace softstep::test
