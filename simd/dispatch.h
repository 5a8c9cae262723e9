#pragma once

// The face of the simd room: argument structures, the table of kernels, and the choice of instruction set.
// Kernels trust their caller: sizes, strides and pointers are checked above this room.

#include <cstddef>
#include <cstdint>

#include "simd/runs_args.h"
#include "simd/softmax_args.h"
#include "softstep/stored_type.h"

namespace softstep::simd {

/// Rows that the caller reads next. A kernel that is handed them fetches them into the second cache while it
/// works on its own: numbers that nobody reads, so any address may stand here.
struct AheadRows {
  const void* rows = nullptr;  ///< null: none
  std::size_t stride = 0;      ///< bytes from row to row
  std::size_t bytes = 0;       ///< of a row
  std::size_t n_rows = 0;
};

/// One sample of the fused attention kernel; see simd/kernels/attention.h for the contract. Neighbours in one
/// call must not share outputs or work space, and have the same kind of tokens.
template <class T>
struct AttentionArgs {
  /// X_i, row t at tokens + t * token_stride; not read if storage is in 16 bits. Null: `scores` are given
  /// and `weights` wanted, without a gradient.
  const T* tokens;
  std::size_t token_stride;  ///< elements of the storage
  std::size_t n_tokens;      ///< T_i >= 1
  std::size_t dim;           ///< d >= 1
  const T* projected_query;  ///< v = W z_i, [dim]
  const T* score_gaps;       ///< gamma_opt - gamma_t >= 0, [n_tokens]
  std::size_t optimal;       ///< opt_i
  T* gradient;               ///< out, [dim]: X_i^T r / e^c without l'; null: not wanted
  T* scores;                 ///< work space and out: s_t, [n_tokens]
  T* weights;                ///< work space and out: r_t / e^c without l', [n_tokens]
  /// f16 and bf16 go with T = float only; anything else means T. Arithmetic is in T.
  StoredType storage = StoredType::working;
  const std::uint16_t* half_tokens = nullptr;  ///< X_i in place of `tokens` if storage is f16 or bf16
  AheadRows ahead = {};                        ///< row_scores and weighted_rows only
};

/// The attention kernel interleaves so many samples where they are small. A caller that has so many gives at
/// least these in one call. Interleaving more gains nothing.
constexpr std::size_t attention_together = 2;

/// What one sample yields besides its gradient row (docs/mathematics.md, section 2). A is the set of tokens
/// whose score equals the pivot's (D_t = 0), B the others.
template <class T>
struct AttentionStats {
  std::size_t pivot;  ///< a = argmax_t s_t
  T exponent;         ///< c = max_{t in B} s_t - s_a; -infinity if B is empty
  T pivot_attention;  ///< p_a
  T mean_gap;         ///< mu = p_a sum_{t in B} e_t D_t, so that m = gamma_a + e^c mu
  T rest;             ///< E = sum_{t in B} e_t
  T ties;             ///< sum over A without the pivot of e^{s_t - s_a}
  T optimal_score;    ///< s_opt - s_a <= 0
  T largest;          ///< max_j |gradient_j|, NaN if any is NaN; 0 if the gradient is not wanted
};

/// Many samples at once, one to a lane; see simd/kernels/attention_lanes.h. Everything by sample has n_lanes
/// columns, sample i in column i: a multiple of the vector width (lane_multiple), padded with samples of no
/// tokens.
template <class T>
struct LanesArgs {
  /// x_itj at ((i / m * n_tokens + t) * dim + j) * m + i % m, m = lane_multiple
  const T* tokens;
  std::size_t n_lanes;
  std::size_t n_tokens;  ///< most tokens of one sample
  std::size_t dim;
  std::size_t begin,
      end;  ///< lanes to do: from a multiple of lane_multiple on, to the vector that holds lane end - 1
  const T* projected;   ///< v_ij at j * n_lanes + i
  const T* score_gaps;  ///< gamma_opt - gamma_t at t * n_lanes + i; NaN where sample i has no token t
  /// opt_i as a number. Null: no lane misses a token, gaps are at (i / m * n_tokens + t) * m + i % m, `pivot`
  /// is D_a, and of what else comes out exponent, mean_gap, gradient, largest and shifted_gap are wanted.
  const T* optimal;
  T* gradient;  ///< out, g_ij at j * n_lanes + i; null: not wanted
  T* weights;   ///< work space and out: r_it at t * n_lanes + i
  // out, [n_lanes] each: the fields of AttentionStats, the pivot as a number
  T *pivot, *exponent, *pivot_attention, *mean_gap, *rest, *ties, *optimal_score;
  T* largest;  ///< out: max_j |g_ij|
  /// out: e^c_i mu_i. May be null where `optimal` is not.
  T* shifted_gap = nullptr;
  /// out: p_it at t * n_lanes + i, 0 where sample i has no token t; null: not wanted. Only where `optimal` is
  /// not null.
  T* attention = nullptr;
};
/// Lanes come in whole cache lines, whatever the vector width.
template <class T>
constexpr std::size_t lane_multiple = 64 / sizeof(T);
template <class T>
constexpr std::size_t round_up_to_lanes(std::size_t n) {
  return (n + lane_multiple<T> - 1) / lane_multiple<T> * lane_multiple<T>;
}

/// n samples after the attention kernel; see simd/kernels/row_factors.h. All arrays [n].
template <class T>
struct RowFactorsArgs {
  std::size_t n;
  bool logistic;           ///< the loss: logistic, else exponential
  const T* exponent;       ///< c_i
  const T* mean_gap;       ///< mu_i in units of gap_unit
  const T* pivot_gap;      ///< gamma_opt - gamma_a
  const T* largest;        ///< max_j |g_ij| of the row without l'; 0 for a zero row
  const T* gap_unit;       ///< a power of two
  const T* optimal_score;  ///< gamma_opt
  /// Binary exponent of gap_unit times query_unit, less any whole number that is common to all; -infinity
  /// where the query is zero.
  const T* unit_power;
  const T* inverse_query;     ///< 1 / (n query_unit)
  T *row_scale, *row_factor;  ///< out: the row is to be multiplied by both, one after the other
  T* size;                    ///< work space: the logarithm of the size of g_i z_i^T, up to a factor of 4 d
};

/// Gradient rows with the sample index last, times what row_factors gives them; see
/// simd/kernels/scale_lanes.h.
template <class T>
struct ScaleLanesArgs {
  std::size_t n_rows, n_lanes;
  std::size_t begin, end;                ///< lanes to do, multiples of lane_multiple
  const double *row_scale, *row_factor;  ///< [end] at least
  T* rows;                               ///< in and out, x_ji at j * n_lanes + i
};

/// Row-major matrices with leading dimensions in elements. Outputs must not overlap inputs.
///   product_nt: C[m x n]  = A[m x k] B[n x k]^T
///   product_nn: C[m x n]  = A[m x k] B[k x n]
///   product_tn: C[m x n]  = A[k x m]^T B[k x n]
/// With `add` the result is C + scale times that. The sum of the products is formed before it is added, so
/// that a C much larger than the sum is rounded once and not k times (product_nn and product_tn: once every
/// 256 terms).
template <class T>
struct ProductArgs {
  std::size_t m, n, k;
  const T* a;
  std::size_t lda;
  const T* b;
  std::size_t ldb;
  T* c;
  std::size_t ldc;
  bool add = false;
  T scale = T(1);  ///< not used without `add`
};

/// One pointer per row of kernels.def.
template <class T>
struct Kernels {
#define SOFTSTEP_KERNEL(name, result, arguments) result(*name) arguments;
#include "simd/kernels.def"
#undef SOFTSTEP_KERNEL
  std::size_t vector_width;  ///< numbers in one vector
  std::size_t tile_columns;  ///< columns of a panel of product_panels

  /// One sample of `attention`.
  AttentionStats<T> attention_of(const AttentionArgs<T>& sample) const {
    AttentionStats<T> stats;
    attention(&sample, 1, &stats);
    return stats;
  }
};

struct Isa {
  const char* name;
  bool compiled;
  bool runnable;              ///< compiled, and CPU and operating system support it
  const Kernels<float>* f32;  ///< null unless compiled
  const Kernels<double>* f64;

  template <class T>
  const Kernels<T>& kernels() const {
    if constexpr (sizeof(T) == sizeof(float))
      return *f32;
    else
      return *f64;
  }
};

/// All rows of isas.def in order.
const Isa* isa_table(std::size_t& n_rows);
/// By name; null if there is none.
const Isa* find_isa(const char* name);
/// The last runnable row.
const Isa& best_isa();

}  // namespace softstep::simd
