#pragma once

// Arrays of the caller's as the library's spans and vectors.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/c/guarded.h"

namespace softstep::c {

/// size numbers that are there.
inline std::span<const double> numbers(const double* a, std::size_t size, const char* name) {
  return {required(a, name), size};
}

/// n_rows * n_cols numbers. Throws InvalidArgument where no array can be so large.
inline std::size_t product(std::size_t n_rows, std::size_t n_cols, const char* name = "n_rows") {
  if (n_cols != 0 && n_rows > static_cast<std::size_t>(-1) / sizeof(double) / n_cols)
    throw InvalidArgument(name,
                          std::to_string(n_rows) + " times " + std::to_string(n_cols) + " is too large");
  return n_rows * n_cols;
}

/// The size of a span over entries [n + more] of the caller's. Throws InvalidArgument where none is so large.
inline std::size_t entries(std::size_t n, std::size_t more, const char* name) {
  if (n > static_cast<std::size_t>(-1) / sizeof(std::int64_t) - more)
    throw InvalidArgument(name, std::to_string(n) + " is too large");
  return n + more;
}

/// A copy of size numbers that are there.
template <class T>
std::vector<T> copied(const T* a, std::size_t size, const char* name) {
  required(a, name);
  if (size > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(T))
    throw InvalidArgument(name, std::to_string(size) + " entries are more than fit into memory");
  return {a, a + size};
}

}  // namespace softstep::c
