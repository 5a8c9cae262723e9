#pragma once

#include <cstddef>
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

/// Multiplies by 2^exponent. The exponent may be beyond those that double has.
void scale_by_power(std::vector<double>& x, int exponent);

/// sizes_k = products_k 2^(exponents_k - exponent), with the exponent of the smallest product, which is then
/// near 1; rows whose product is 0 keep it. Throws InvalidArgument where the largest is then out of range.
void take_sizes(const std::vector<double>& products, const std::vector<int>& exponents,
                std::vector<double>& sizes, int& exponent);

}  // namespace softstep
