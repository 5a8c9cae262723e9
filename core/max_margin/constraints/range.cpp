#include "core/max_margin/constraints/range.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "softstep/error.h"

namespace softstep {

int exponent_towards_one(double largest) {
  constexpr int step = 600;  // brings the least and the greatest of double well within far_exponent
  if (largest > std::ldexp(1.0, far_exponent)) return -step;
  return largest > 0.0 && largest < std::ldexp(1.0, -far_exponent) ? step : 0;
}

int scale_towards_one(double* x, std::size_t size) {
  double largest = 0.0;
  for (std::size_t j = 0; j < size; ++j) largest = std::max(largest, std::fabs(x[j]));
  const int exponent = exponent_towards_one(largest);
  if (exponent != 0)
    for (std::size_t j = 0; j < size; ++j) x[j] = std::ldexp(x[j], exponent);
  return exponent;
}

void scale_by_power(std::vector<double>& x, int exponent) {
  if (exponent == 0) return;
  for (double& value : x) value = std::ldexp(value, exponent);
}

void take_sizes(const std::vector<double>& products, const std::vector<int>& exponents,
                std::vector<double>& sizes, int& exponent) {
  int least = std::numeric_limits<int>::max(), greatest = std::numeric_limits<int>::min();
  for (std::size_t k = 0; k < products.size(); ++k) {
    if (!(products[k] > 0.0)) continue;
    least = std::min(least, exponents[k]);
    greatest = std::max(greatest, exponents[k]);
  }
  exponent = greatest < least ? 0 : least;
  if (greatest >= least && greatest - least > 1000)
    throw InvalidArgument("tokens", "the largest constraint is 2^" + std::to_string(greatest - least) +
                                        " times as long as the smallest (double holds ratios up to 2^1000)");
  for (std::size_t k = 0; k < products.size(); ++k)
    sizes[k] = products[k] > 0.0 ? std::ldexp(products[k], exponents[k] - exponent) : 0.0;
}

}  // namespace softstep
