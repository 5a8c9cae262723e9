#pragma once

// C[m x n] = A' B, or C + A' B, with B[k x n] in panels: columns p c .. p c + c - 1, c =
// Kernels::tile_columns, lie together, row l of them at panels + (p panel_rows + l) c. What is packed once
// and read by many products is read in the order in which it lies. A' is A[m x k], or A[k x m]^T if
// `transposed`.
//
// Each element of C is one chain of multiply-adds over l = 0 .. k-1, begun at 0 or, with `add`, at C; its
// bits depend on nothing else. So a chain may go on in the next call, with `add` and the next terms. Error:
// |c_ij - exact| <= k u sum_l |a_il b_lj|, with `add` k u |c_ij| + (k + 1) u sum_l |a_il b_lj|: begun at 0
// the first sum is exact, and where there is no fused multiply-add a product has a rounding of its own
// (tests/simd/test_product_panels.cpp). The last panel need not be filled: what stands beyond column n is
// read and goes nowhere. C must not overlap A or B; any alignment. Traffic: B once for every tile_rows rows
// of A, from the near caches; A and C once for every panel.

#include "simd/kernels/product_tiles.h"
#include "simd/kernels/token_passes.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
constexpr std::size_t tile_columns = tile_vectors* Vec<T>::width;

template <bool transposed, class T>
SOFTSTEP_INLINE void product_over_panels(const PanelsArgs<T>& in) {
  constexpr std::size_t w = Vec<T>::width;
  for (std::size_t j = 0; j < in.n; j += tile_columns<T>) {
    const std::size_t left = in.n - j, columns = left < tile_columns<T> ? left : tile_columns<T>;
    const std::size_t n_vectors = (columns + w - 1) / w;
    const T* panel = in.panels + j * in.panel_rows;
    const TileArgs<transposed, false, T> args{
        in.k,    in.a, in.lda, panel, tile_columns<T>, in.c + j, in.ldc, columns - (n_vectors - 1) * w,
        !in.add, T(1), panel,  0};
    by_number<tile_vectors>(n_vectors,
                            [&]<std::size_t n>() SOFTSTEP_LAMBDA_INLINE { column_of_tiles<n>(args, in.m); });
  }
}

template <class T>
void product_panels(const PanelsArgs<T>& in) {
  if (in.transposed)
    product_over_panels<true>(in);
  else
    product_over_panels<false>(in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
