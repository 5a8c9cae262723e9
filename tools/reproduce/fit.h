#pragma once

// Fits of measured curves.

#include <cstddef>
#include <vector>

#include "median.h"

namespace softstep::program::reproduce {

struct Line {
  double slope, intercept;
};

/// Least squares of y = slope x + intercept; NaN with fewer than three points or a value that is not finite.
Line fit_line(const std::vector<double>& x, const std::vector<double>& y);

/// Exponent a of y ~ x^a over the points with lowest <= x <= highest; NaN where a y is not positive.
double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y, double lowest,
                       double highest);

/// y of a curve given at increasing x, at a point between, linear in log x. NaN outside.
double value_at(const std::vector<double>& x, const std::vector<double>& y, double point);

}  // namespace softstep::program::reproduce
