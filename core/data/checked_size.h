#pragma once

#include <cstddef>
#include <cstdint>

namespace softstep::data {

/// Largest object a pointer difference can span.
inline constexpr std::size_t max_bytes = PTRDIFF_MAX;

/// a * b, or false if that is more than `limit`.
inline bool multiply(std::size_t a, std::size_t b, std::size_t limit, std::size_t& product) {
  if (b != 0 && a > limit / b) return false;
  product = a * b;
  return product <= limit;
}

}  // namespace softstep::data
