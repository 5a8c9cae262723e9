#pragma once

// Rows of results into the caller's arrays, rounded where these are in 16 bits.

#include "core/data/half.h"
#include "core/heads/geometry.h"

namespace softstep::heads {

template <class T>
void store_row(const T* numbers, std::size_t n, const OutputRows<T>& out, std::ptrdiff_t place) {
  if (!out.in_halves()) {
    std::copy_n(numbers, n, out.numbers + place);
    return;
  }
  std::uint16_t* halves = out.halves + place;
  if (out.storage == StoredType::f16)
    for (std::size_t k = 0; k < n; ++k) halves[k] = data::round_to_f16(static_cast<float>(numbers[k]));
  else
    for (std::size_t k = 0; k < n; ++k) halves[k] = data::round_to_bf16(static_cast<float>(numbers[k]));
}

}  // namespace softstep::heads
