#pragma once

// What every row of isas.def needs to define its vector: words for the compiler, and the bits of a number.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#define SOFTSTEP_INLINE inline __attribute__((always_inline))
#define SOFTSTEP_LAMBDA_INLINE __attribute__((always_inline))

// Before a loop of constant length over an array of registers: only unrolled does the array stay in
// registers. SOFTSTEP_ROLL before one that must stay a single piece of code.
#if defined(__clang__)
#define SOFTSTEP_UNROLL _Pragma("unroll")
#define SOFTSTEP_ROLL _Pragma("nounroll")
#else
#define SOFTSTEP_UNROLL _Pragma("GCC unroll 16")
#define SOFTSTEP_ROLL _Pragma("GCC unroll 1")
#endif

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Bit-level view of a number type.
template <class T>
struct Bits;
template <>
struct Bits<float> {
  using Int = std::int32_t;
  using Unsigned = std::uint32_t;
  static constexpr int mantissa = 23;
};
template <>
struct Bits<double> {
  using Int = std::int64_t;
  using Unsigned = std::uint64_t;
  static constexpr int mantissa = 52;
};

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
