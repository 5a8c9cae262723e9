#pragma once

// float16 and bfloat16 from the definition of the formats.

#include <cmath>
#include <cstdint>
#include <limits>

#include "softstep/stored_type.h"

namespace softstep::test {

constexpr StoredType both_halves[] = {StoredType::f16, StoredType::bf16};

/// Sign, exponent with its bias, mantissa.
inline float decoded(std::uint16_t bits, StoredType storage) {
  const int mantissa_bits = storage == StoredType::f16 ? 10 : 7;
  const int exponent_bits = 15 - mantissa_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int mantissa = bits % (1 << mantissa_bits), exponent = (bits & 0x7fff) >> mantissa_bits;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : sign * std::numeric_limits<float>::infinity();
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  const int power = (exponent == 0 ? 1 : exponent) - bias - mantissa_bits;
  return sign * std::ldexp(static_cast<float>(significand), power);
}

/// Bits of a number below 1 by up to four powers of two, of either sign.
template <class Random>
std::uint16_t half_below_one(Random& random, StoredType storage) {
  const unsigned one = storage == StoredType::f16 ? 0x3c00 : 0x3f80,
                 mantissas = storage == StoredType::f16 ? 4096 : 512;
  return static_cast<std::uint16_t>((one - static_cast<unsigned>(random() % mantissas)) |
                                    static_cast<unsigned>(random() % 2) << 15);
}

}  // namespace softstep::test
