#pragma once

#include <algorithm>
#include <cstddef>

namespace softstep {

/// Rows begin to end of the transpose of a d x d matrix with rows of stride `from`, in rows of stride `to`.
template <class Number>
void transpose_rows(std::size_t begin, std::size_t end, std::size_t d, const Number* w, std::size_t from,
                    Number* out, std::size_t to) {
  // In blocks, so that both sides go through whole cache lines.
  constexpr std::size_t block = 16;
  for (std::size_t r0 = 0; r0 < d; r0 += block)
    for (std::size_t c0 = begin; c0 < end; c0 += block)
      for (std::size_t r = r0; r < std::min(d, r0 + block); ++r)
        for (std::size_t c = c0; c < std::min(end, c0 + block); ++c) out[c * to + r] = w[r * from + c];
}

}  // namespace softstep
