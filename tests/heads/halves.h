#pragma once

// Numbers in 16 bits by arithmetic: rounded to nearest even, and read.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "softstep/stored_type.h"

namespace softstep::test {

inline double read_half(StoredType type, std::uint16_t bits) {
  if (type == StoredType::bf16)
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double size = exponent == 31  ? (mantissa == 0 ? HUGE_VAL : static_cast<double>(NAN))
                      : exponent == 0 ? std::ldexp(mantissa, -24)
                                      : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

inline std::uint16_t round_to_half(StoredType type, double x) {
  const bool brain = type == StoredType::bf16;
  const int mantissa_bits = brain ? 7 : 10, lowest = brain ? -126 : -14, largest = brain ? 127 : 15;
  const int sign = std::signbit(x) ? 0x8000 : 0, infinity = (2 * largest + 1) << mantissa_bits;
  if (std::isnan(x)) return static_cast<std::uint16_t>(infinity | 1 << (mantissa_bits - 1));
  const double size = std::fabs(x);
  if (std::isinf(size)) return static_cast<std::uint16_t>(sign | infinity);
  const int exponent = size == 0.0 ? lowest : std::max(std::ilogb(size), lowest);
  // In units of the last place; a carry goes into the exponent by itself, and beyond the largest to infinity.
  const int units = static_cast<int>(std::nearbyint(std::ldexp(size, mantissa_bits - exponent)));
  const long bits = (static_cast<long>(exponent - lowest) << mantissa_bits) + units;
  return static_cast<std::uint16_t>(sign | static_cast<int>(std::min<long>(bits, infinity)));
}

}  // namespace softstep::test
