#pragma once

// How far directions are from each other under the potential of l_p mirror descent.

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "output.h"
#include "softstep/metrics.h"

namespace softstep::program::reproduce {

/// "p = 1.75"
inline std::string name_of_power(double p) { return fmt::format("p = {}", shortest(p)); }

/// D(a, b) of |W|_p^p / p between the directions a / |a|_p and b / |b|_p.
inline double bregman(const std::vector<double>& a, const std::vector<double>& b, double p) {
  const double norm_a = matrix_norm(a, 1, a.size(), MatrixNorm::l_p, p);
  const double norm_b = matrix_norm(b, 1, b.size(), MatrixNorm::l_p, p);
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double x = a[k] / norm_a, y = b[k] / norm_b;
    sum += std::pow(std::fabs(x), p) / p - std::pow(std::fabs(y), p) / p -
           std::copysign(std::pow(std::fabs(y), p - 1.0), y) * (x - y);
  }
  return sum;
}

}  // namespace softstep::program::reproduce
