#pragma once

// The 16-bit number types of tensor files: F16 (IEEE binary16: 5 exponent bits, 10 mantissa bits) and BF16 (8
// and 7). Decoding is exact; encoding rounds a double once, to nearest even.

#include <bit>
#include <cmath>
#include <cstdint>

namespace softstep::data {

/// Whether a finite double rounds to infinity in float: halfway from the largest float to 2^128, and above.
inline bool overflows_float(double x) { return std::isfinite(x) && std::fabs(x) >= 0x1.ffffffp127; }

inline float decode_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

inline float decode_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 31u, mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero
  return sign ? -magnitude : magnitude;
}

template <int exponent_bits, int mantissa_bits>
std::uint16_t encode_16(double x) {
  static_assert(exponent_bits + mantissa_bits == 15);
  constexpr int bias = (1 << (exponent_bits - 1)) - 1;
  constexpr std::uint16_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x),
                      fraction = bits & ((std::uint64_t{1} << 52) - 1);
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  const auto sign = static_cast<std::uint16_t>((bits >> 63) << 15);
  const auto with_sign = [sign](std::uint64_t magnitude) {
    return static_cast<std::uint16_t>(sign | magnitude);
  };
  if (exponent == 1024) return with_sign(fraction ? infinity | 1u << (mantissa_bits - 1) : infinity);
  if (exponent > bias) return with_sign(infinity);

  // Below the smallest normal exponent the spacing stays, so more of the 53 bits fall off.
  const int below = exponent < 1 - bias ? 1 - bias - exponent : 0;
  const int shift = 52 - mantissa_bits + below;
  if (shift >= 54) return sign;  // less than half the smallest subnormal; also every subnormal double
  const std::uint64_t significand = fraction | std::uint64_t{1} << 52;
  std::uint64_t rounded = significand >> shift;
  const std::uint64_t rest = significand & ((std::uint64_t{1} << shift) - 1),
                      half = std::uint64_t{1} << (shift - 1);
  if (rest > half || (rest == half && (rounded & 1))) ++rounded;
  // The leading bit of a normal significand adds one to the exponent field, and so does a carry out of it.
  if (below == 0) rounded += static_cast<std::uint64_t>(exponent + bias - 1) << mantissa_bits;
  return with_sign(rounded);
}

inline std::uint16_t encode_f16(double x) { return encode_16<5, 10>(x); }
inline std::uint16_t encode_bf16(double x) { return encode_16<8, 7>(x); }

// The same of a float, without branches, so that loops over them are vectorised.

inline std::uint16_t round_to_bf16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40u;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

inline std::uint16_t round_to_f16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), size = bits & 0x7fffffffu;
  // Added to 1/2, a number below 2^-14 is rounded to multiples of 2^-24.
  const float half = 0.5f;
  const std::uint32_t subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + half) - std::bit_cast<std::uint32_t>(half);
  const std::uint32_t normal = (size - (112u << 23) + 0xfffu + ((size >> 13) & 1u)) >> 13;
  const std::uint32_t special = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const std::uint32_t number = size < 0x38800000u ? subnormal : normal;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000u) | (size >= 0x47800000u ? special : number));
}

}  // namespace softstep::data
