#pragma once

// One vector register of T for the row of isas.def that this file is compiled for; kernels are written in
// terms of it alone. What a row's registers can do is in its own file, simd/rows/<name>.h, chosen by the
// row's name and never by a macro of the compiler: those say what the flags of the whole build allow,
// -march=native for one, and not which row this is. CMake gives SOFTSTEP_ISA_NAME, the namespace;
// SOFTSTEP_ISA_ROW, the row's file; SOFTSTEP_ISA_ARCH, the xsimd architecture.
//
// A row defines
//   Vec<T>            v, width, all, load, store, + - * /
//   fma(a, b, c)      a * b + c, in one rounding where the instruction set has it
//   max(a, b)         which of two is taken is open where one is NaN
//   at_least(low, x)  the larger; NaN where x is
//   less, equal       masks, for select(mask, a, b); false where one is NaN. equal raises no flag then
//   any(mask)         whether it is set in a lane
//   square_root       of x >= 0, rounded once
//   sum, maximum      of the lanes; the sum by pairs, so that no lane passes through more than log2(width)
//                     additions
//   power_of_two(s)   2^n for s = n + bias + 1.5 * 2^mantissa: the low bits of s, moved into the exponent
//                     field
//   binary_exponent   the exponent field as a number: floor(log2 x) for normal x > 0, -bias for 0 and
//                     subnormals, bias + 1 for infinity and NaN
//   equal_lanes(a, b) where finds_lanes: bit i is set if lanes i are equal
//   load_part(p, n, fill), store_part(a, p, n)   the first n lanes, 0 < n < width, the others `fill`; never
//                     touch memory past p + n
//   store_part_to_load  store_part for numbers that are loaded again at once: what a masked store has written
//                     can only be loaded when it has left the store queue. More instructions
//   gather_sums<n>(s) the sums over lanes of s[0 .. n-1] in one register, n = width or a smaller power of two
//                     from 4 on
//   load_halves, from_f16, from_bf16   as many 16-bit numbers as a Vec<float> has lanes (past n they are 0),
//                     and what they are
//   widened(p), store_narrowed(x, p)   as many floats as a Vec<double> has lanes, as doubles; and back, which returns what has been
//                     stored
//   transpose_square(in, stride, out, ld)   out[c][r] = in[r][c] for a square of transpose_size<T>
//   tile_rows, tile_vectors, row_vectors, nt_columns, run_rows, run_columns   how much of the kernels' blocks it holds in registers
//                     (product_tiles.h, token_passes.h, product_nt.h, run_product.h)

#include SOFTSTEP_ISA_ROW

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE Vec<T> absolute(Vec<T> x) {
  return max(x, Vec<T>::all(T(0)) - x);
}

// The larger of `largest` >= 0 and |x| by lane; a NaN is larger than anything and stays. A row may know a
// shorter way.
template <class T>
SOFTSTEP_INLINE Vec<T> larger_size(Vec<T> largest, Vec<T> x) {
  const Vec<T> size = absolute(x);
  return select(less(size, largest), largest, select(equal(largest, largest), size, largest));
}

// 0, 1, .. width - 1.
template <class T>
SOFTSTEP_INLINE Vec<T> lane_numbers() {
  constexpr T numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(Vec<T>::width <= 16);
  return Vec<T>::load(numbers);
}

// The index of the first of n elements that is `value`; n - 1 if none is.
template <class T>
SOFTSTEP_INLINE std::size_t first_equal(const T* p, std::size_t n, T value) {
  std::size_t i = 0;
  if constexpr (finds_lanes) {
    constexpr std::size_t w = Vec<T>::width;
    const Vec<T> wanted = Vec<T>::all(value);
    for (; i + w <= n; i += w) {
      const int found = equal_lanes(Vec<T>::load(p + i), wanted);
      if (found != 0) return i + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(found)));
    }
  }
  while (i + 1 < n && !(p[i] == value)) ++i;
  return i < n ? i : n - 1;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
