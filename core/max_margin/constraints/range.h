#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace softstep {

/// How far from 1 entries may be before their squares, inverses and products come near the ends of the range
/// of double.
constexpr int far_exponent = 480;

/// The exponent of a power of two that brings the largest of `x` (which may be infinite after an overflow)
/// towards 1; 0, and so not a changed bit, where it is within 2^-far_exponent .. 2^far_exponent, or where x
/// is zero. Multiplies x by it.
int scale_towards_one(double* x, std::size_t size);

/// The same for a largest entry that is known.
int exponent_towards_one(double largest);

/// out = (best - other) 2^(what is returned), which is the exponent of scale_towards_one(). Tokens are
/// subtracted as they are: the difference of large ones may be tiny. Only where it is large itself, or
/// overflows, they are scaled first; what underflows then is below rounding beside it. `out` is no part of
/// the others.
template <class T>
int scaled_difference(const T* best, const T* other, std::span<double> out) {
  double largest = 0.0;  // infinite after an overflow
  for (std::size_t j = 0; j < out.size(); ++j) {
    out[j] = static_cast<double>(best[j]) - static_cast<double>(other[j]);
    largest = std::max(largest, std::fabs(out[j]));
  }
  const int exponent = exponent_towards_one(largest);
  for (std::size_t j = 0; j < out.size() && exponent != 0; ++j)
    out[j] = exponent > 0 ? std::ldexp(out[j], exponent)
                          : std::ldexp(static_cast<double>(best[j]), exponent) -
                                std::ldexp(static_cast<double>(other[j]), exponent);
  return exponent;
}

/// Multiplies by 2^exponent. The exponent may be beyond those that double has.
void scale_by_power(std::vector<double>& x, int exponent);

/// sizes_k = products_k 2^(exponents_k - exponent), with the exponent of the smallest product, which is then
/// near 1; rows whose product is 0 keep it. Throws InvalidArgument where the largest is then out of range.
void take_sizes(const std::vector<double>& products, const std::vector<int>& exponents,
                std::vector<double>& sizes, int& exponent);

}  // namespace softstep
