#pragma once

// out[c][r] = in[r][c]. The arrays must not overlap; any alignment and strides. Exact: numbers are moved as
// bits are (tests/simd/test_packing.cpp). Reads and writes each number once, in squares of transpose_size
// that stay in registers.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void transpose(const TransposeArgs<T>& in) {
  constexpr std::size_t size = transpose_size<T>;
  const auto at = [&](std::size_t r, std::size_t c) SOFTSTEP_LAMBDA_INLINE {
    return in.in + static_cast<std::ptrdiff_t>(r) * in.stride + c;
  };
  const auto one_by_one = [&](std::size_t r, std::size_t r_end, std::size_t c, std::size_t c_end)
                              SOFTSTEP_LAMBDA_INLINE {
                                for (std::size_t i = r; i < r_end; ++i)
                                  for (std::size_t j = c; j < c_end; ++j) in.out[j * in.ld + i] = *at(i, j);
                              };
  std::size_t r = 0;
  for (; r + size <= in.n_rows; r += size) {
    std::size_t c = 0;
    for (; c + size <= in.n_columns; c += size)
      transpose_square(at(r, c), in.stride, in.out + c * in.ld + r, in.ld);
    one_by_one(r, r + size, c, in.n_columns);
  }
  one_by_one(r, in.n_rows, 0, in.n_columns);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
