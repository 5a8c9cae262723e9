#pragma once

// What one core can do at most, as code: compiled once per row of simd/isas.def, like the kernels it is
// compared with. Never part of the library.

#include <cstddef>

namespace softstep::bench::limits {

/// Independent chains of multiply-adds, more than the units have latency for.
constexpr std::size_t n_chains = 14;

struct IsaLimits {
  std::size_t f32_width, f64_width;  ///< lanes
  /// `n` times c <- c a + b in each lane of n_chains registers; the result depends on all of them.
  float (*f32_chains)(std::size_t n, float a, float b);
  double (*f64_chains)(std::size_t n, double a, double b);
  /// Loads every byte (whole multiples of 1024) `repeats` times; the result depends on all of them.
  unsigned long long (*read)(const void* data, std::size_t bytes, std::size_t repeats);
};

/// By the name of a compiled row of isas.def.
const IsaLimits& isa_limits(const char* isa);

}  // namespace softstep::bench::limits
