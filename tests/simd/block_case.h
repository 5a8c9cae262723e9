#pragma once

// Arrays for the kernels of blocks: filled, with strides of any sign, and with numbers that are not to be
// touched.

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <random>

#include "support/guarded.h"

namespace softstep::test {

template <class T>
constexpr T untouched = T(77);

/// The same bits, or NaN both.
template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b));
}

template <class T>
void fill(Guarded<T>& out, std::mt19937_64& random, double size = 1.0) {
  std::uniform_real_distribution<double> uniform(-size, size);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<T>(uniform(random));
}
template <class T>
void fill(Guarded<T>& out, T value) {
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = value;
}

/// How many elements from the first to the last that rows of `columns` touch, and where row 0 stands among
/// them.
struct Extent {
  std::size_t size, first;
  Extent(std::size_t rows, std::size_t columns, std::ptrdiff_t stride) {
    const std::ptrdiff_t last = rows == 0 ? 0 : static_cast<std::ptrdiff_t>(rows - 1) * stride;
    size = rows == 0 || columns == 0 ? 0 : static_cast<std::size_t>(std::abs(last)) + columns;
    first = last < 0 && size != 0 ? static_cast<std::size_t>(-last) : 0;
  }
};

/// Outputs with a number before them that is not theirs.
template <class T>
Guarded<T> output(std::size_t n) {
  Guarded<T> out(n + 1);
  fill(out, untouched<T>);
  return out;
}

}  // namespace softstep::test
