#pragma once

// Argument structures of the kernels of attention over heads: blocks of scores, a row for each query and a
// column for each key.

#include <cstddef>
#include <cstdint>

#include "softstep/stored_type.h"

namespace softstep::simd {

/// Rows of numbers, as they are stored, times `scale`, into a block; see simd/kernels/pack_rows.h.
template <class T>
struct PackArgs {
  std::size_t n_rows, n_columns;
  const T* rows;                   ///< row r at rows + r * stride; not read if storage is in 16 bits
  std::ptrdiff_t stride;           ///< elements of the storage
  StoredType storage;              ///< f16 and bf16 go with T = float only; anything else means T
  const std::uint16_t* half_rows;  ///< in place of `rows` if storage is f16 or bf16
  T scale;
  T* out;  ///< row r at out + r * ld
  std::size_t ld;
};

/// out[c][r] = in[r][c]; see simd/kernels/transpose.h.
template <class T>
struct TransposeArgs {
  std::size_t n_rows, n_columns;  ///< of `in`
  const T* in;
  std::ptrdiff_t stride;
  T* out;
  std::size_t ld;
};

/// A product with a matrix in panels; see simd/kernels/product_panels.h.
template <class T>
struct PanelsArgs {
  std::size_t m, n, k;
  const T* a;
  std::size_t lda;
  bool transposed;  ///< A is k x m
  const T* panels;
  std::size_t panel_rows;  ///< k at least: rows of a panel, of which the product reads the first k
  T* c;
  std::size_t ldc;
  bool add;
};

/// A block of scores becomes weights, row by row, while what is known of each row goes on; see
/// simd/kernels/softmax_rows.h.
template <class T>
struct SoftmaxRowsArgs {
  std::size_t n_rows, n_keys;  ///< of the block
  T* scores;  ///< in: s_rj at r * ld + j; out: e^(s_rj - second_r), 0 at the pivot and where hidden
  std::size_t ld;
  const std::size_t *begin, *end;  ///< [n_rows]: the row sees the columns begin[r] .. end[r]-1; null: all
  std::size_t first_key;           ///< what column 0 is numbered
  // In and out, [n_rows] each; before the first block -infinity, -infinity, no_pivot, 0.
  T* top;              ///< the largest score of the row so far
  T* second;           ///< the largest beside the pivot's
  std::size_t* pivot;  ///< the number of the first key with the largest score
  T* rest;             ///< sum of e^(s_j - second) over all but the pivot
  // Out, [n_rows] each: what has been summed with the weights of earlier blocks is to be multiplied by
  // `decay`, and the value of the key that has ceased to be the pivot, `former`, added `former_weight` times.
  T* decay;
  T* former_weight;  ///< 0 where the pivot stays
  std::size_t* former;
};
constexpr std::size_t no_pivot = static_cast<std::size_t>(-1);

/// A block of scores and of output slopes becomes the gradient by the scores and the attention; see
/// simd/kernels/softmax_gradient.h.
template <class T>
struct SoftmaxGradientArgs {
  std::size_t n_rows, n_keys;
  T* scores;  ///< in: s_rj; out: ds_rj e^-c_r
  T* slopes;  ///< in: D_rj = dO_r . v_j; out: p_rj
  std::size_t ld;
  const std::size_t *begin, *end;  ///< as in SoftmaxRowsArgs
  std::size_t first_key;
  // [n_rows] each
  const T* second;
  const std::size_t* pivot;
  const T* pivot_attention;  ///< p_a
  const T* rest_attention;   ///< p_a e^c
  const T* mean_slope;       ///< delta = sum_j p_j D_j
  const T* pivot_gradient;   ///< ds_a e^-c
};

/// y_i = cap tanh(x_i / cap), and its derivative; see simd/kernels/soft_cap.h.
template <class T>
struct SoftCapArgs {
  std::size_t n_rows, n_columns;
  T cap;
  T* x;  ///< in and out, row r at x + r * ld
  std::size_t ld;
  T* derivative;  ///< out, in rows of ld; null: not wanted
};

}  // namespace softstep::simd
