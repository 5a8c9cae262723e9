#pragma once

// C[m x n] = A[m x k] B[n x k]^T: c_ij = a_i . b_j, rows contiguous. In the layer V = Z W^T (n x d x d).
//
// Each element is one chain of vector multiply-adds along k and one sum over lanes in a fixed order, whatever
// block it falls into: the bits of an element do not depend on m, n, or how a caller splits them. Shapes:
// ProductArgs (simd/dispatch.h); any leading dimensions and alignment; C must not overlap A or B. k = 0 gives
// 0. NaN and infinity propagate as in the sum.
//
// Error: |c_ij - exact| <= n u sum_l |a_il b_jl|, n = ceil(k / lanes) + log2(lanes)
// (tests/simd/test_products.cpp). A term goes through at most ceil(k / lanes) roundings in the chain of its
// lane: its own product's, which a fused multiply-add does not have, and one for each addition, of which the
// first, to 0, is exact; then through log2(lanes) where lanes are added by pairs. With `add` the product with
// the scale and the addition to C are rounded once each: |c_ij - exact| <= (n + 1) u |scale| sum_l |..| + u
// (|c_ij| + |scale| sum_l |..|).
//
// Traffic: B once for
// every panel of A (256 KiB), A once from memory and once from cache for every block of rows of B.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// A block is four rows of A times nt_columns rows of B in registers: 16 sums where there are 32 registers, 12
// where there are 16.
template <std::size_t n_rows, std::size_t n_columns, bool adds, class T>
SOFTSTEP_INLINE void nt_block(const ProductArgs<T>& in, std::size_t i, std::size_t j) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const T* a = in.a + i * in.lda;
  const T* b = in.b + j * in.ldb;
  V sums[n_rows][n_columns];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < n_columns; ++c) sums[r][c] = V::all(0);
  }
  const std::size_t whole = in.k / w * w;
  for (std::size_t l = 0; l < whole; l += w) {
    V column[n_columns];
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < n_columns; ++c) column[c] = V::load(b + c * in.ldb + l);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V row = V::load(a + r * in.lda + l);
      SOFTSTEP_UNROLL
      for (std::size_t c = 0; c < n_columns; ++c) sums[r][c] = fma(row, column[c], sums[r][c]);
    }
  }
  if (const std::size_t rest = in.k - whole; rest != 0) {
    V column[n_columns];
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < n_columns; ++c) column[c] = load_part(b + c * in.ldb + whole, rest);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < n_rows; ++r) {
      const V row = load_part(a + r * in.lda + whole, rest);
      SOFTSTEP_UNROLL
      for (std::size_t c = 0; c < n_columns; ++c) sums[r][c] = fma(row, column[c], sums[r][c]);
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < n_rows; ++r) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < n_columns; ++c) {
      T& out = in.c[(i + r) * in.ldc + j + c];
      const T product = sum(sums[r][c]);
      out = adds ? out + in.scale * product : product;
    }
  }
}

template <std::size_t n_columns, bool adds, class T>
SOFTSTEP_INLINE void nt_columns_from(const ProductArgs<T>& in, std::size_t first, std::size_t last,
                                     std::size_t j) {
  std::size_t i = first;
  for (; i + 4 <= last; i += 4) nt_block<4, n_columns, adds>(in, i, j);
  for (; i < last; ++i) nt_block<1, n_columns, adds>(in, i, j);
}

template <bool adds, class T>
SOFTSTEP_INLINE void nt_panels(const ProductArgs<T>& in) {
  constexpr std::size_t panel_elements = (std::size_t{1} << 18) / sizeof(T);
  const std::size_t fitting = in.k == 0 ? in.m : panel_elements / in.k / 4 * 4;
  const std::size_t panel = fitting < 4 ? 4 : fitting;
  for (std::size_t first = 0; first < in.m; first += panel) {
    const std::size_t last = in.m - first < panel ? in.m : first + panel;
    std::size_t j = 0;
    for (; j + nt_columns <= in.n; j += nt_columns) nt_columns_from<nt_columns, adds>(in, first, last, j);
    for (; j < in.n; ++j) nt_columns_from<1, adds>(in, first, last, j);
  }
}

template <class T>
void product_nt(const ProductArgs<T>& in) {
  if (in.add)
    nt_panels<true>(in);
  else
    nt_panels<false>(in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
