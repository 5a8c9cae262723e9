#pragma once

#include <cstddef>

namespace softstep::data {

/// Whether all of x[0..size) are finite. x * 0 is 0 for finite x and NaN otherwise; sixteen independent sums
/// let any compiler vectorise the loop, which then runs at the speed of memory.
template <class T>
bool all_finite(const T* x, std::size_t size) {
  constexpr std::size_t lanes = 16;
  T sum[lanes] = {};
  std::size_t k = 0;
  for (; k + lanes <= size; k += lanes)
    for (std::size_t j = 0; j < lanes; ++j) sum[j] += x[k + j] * T(0);
  for (; k < size; ++k) sum[0] += x[k] * T(0);
  for (std::size_t j = 1; j < lanes; ++j) sum[0] += sum[j];
  return sum[0] == T(0);
}

}  // namespace softstep::data
