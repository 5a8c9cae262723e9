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

// out[c][r] = in[r][c] of a square, for rows without instructions for it.
template <std::size_t size, class T>
SOFTSTEP_INLINE void transpose_by_numbers(const T* in, std::ptrdiff_t stride, T* out, std::size_t ld) {
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c < size; ++c) {
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < size; ++r)
      out[c * ld + r] = in[static_cast<std::ptrdiff_t>(r) * stride + static_cast<std::ptrdiff_t>(c)];
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
