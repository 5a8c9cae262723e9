#pragma once

// Argument structures of the kernels for runs side by side: as many training runs of one shape as a vector of
// T has lanes (w = Kernels::vector_width), run r in lane r. What belongs to sample i of run r stands in
// column i w + r, so that the samples of all runs are the lanes of attention_lanes and scale_lanes as well.

#include <cstddef>

namespace softstep::simd {

/// row_factors for each run by itself; see simd/kernels/run_factors.h. Arrays of n columns w each.
template <class T>
struct RunFactorsArgs {
  std::size_t n;  ///< samples of a run
  bool logistic;  ///< the loss: logistic, else exponential
  // From attention_lanes.
  const T* exponent;     ///< c_i
  const T* shifted_gap;  ///< e^c_i mu_i in units of gap_unit
  const T* largest;      ///< max_j |g_ij| of the row without l'
  // As the fields of RowFactorsArgs.
  const double *pivot_gap, *gap_unit, *optimal_score, *unit_power, *inverse_query;
  const double* query_norm;        ///< |z_i|, or a bound of what the scaled row counts
  double *row_scale, *row_factor;  ///< out: the row is to be multiplied by both, one after the other
  double* top;                     ///< out, [w]: C
  double* sum_of_sizes;            ///< out, [w]: sum_i |row_factor_i| query_norm_i
  double* size;                    ///< work space
};

/// L - L* of each run, L* that of the optimal tokens; see simd/kernels/run_gaps.h. Arrays of n columns w
/// each.
template <class T>
struct RunGapsArgs {
  std::size_t n;         ///< samples of a run
  bool logistic;         ///< the loss: logistic, else exponential
  const T* exponent;     ///< c_i
  const T* mean_gap;     ///< mu_i in units of gap_unit
  const T* shifted_gap;  ///< e^c_i mu_i likewise, as run_factors has it
  const double *pivot_gap, *gap_unit;
  /// -l'(gamma_opt) = slope e^slope_exponent: 1 / (1 + e^-|gamma|) and -max(gamma, 0), or 1 and -gamma.
  const double *slope, *slope_exponent;
  double *mantissa, *top;  ///< out, [w]: L - L* = mantissa e^top
  double* work;            ///< work space, twice as long
};

/// What every sample's query makes of the rows, and the norm; see simd/kernels/run_gram.h.
template <class T>
struct RunGramArgs {
  std::size_t n, dim;
  std::size_t stride;  ///< columns of a row of `rows` and `image`
  const T* gram;       ///< <z_i, z_k> at (i n + k) w + r
  const T* rows;       ///< g_ij at j * stride + i w + r
  T* image;            ///< out, u_ij = sum_k <z_i, z_k> g_kj likewise
  double* squared;     ///< out, [w]: sum_ij g_ij u_ij
};

/// A step of every run; see simd/kernels/run_move.h.
template <class T>
struct RunMoveArgs {
  std::size_t size;  ///< elements of each array, whole vectors
  const T* step;     ///< a_r, [w]
  const T *x, *u;
  T *sum, *projected;  ///< in and out: sum += a x, projected += a u
};

/// A product of small matrices for every run: of A, n_rows x n_inner, and B, n_inner x n_cols; see
/// simd/kernels/run_product.h. An element is a vector of w numbers, one for each run; strides count numbers.
template <class T>
struct RunProductArgs {
  std::size_t n_rows, n_cols, n_inner;
  const T* a;
  std::size_t a_row, a_col;  ///< from row to row, from column to column
  const T* b;
  std::size_t b_row, b_col;
  T* out;  ///< n_rows x n_cols
  std::size_t out_row, out_col;
  double* squared;  ///< out, [w]: the sum of squares of what comes out; null: not wanted
};

/// A step of every run that is computed entry by entry: along the gradient, of sign descent, Adam or dual
/// acceleration; see simd/kernels/run_descent.h, run_sign.h, run_adam.h and run_momentum.h. What is by entry
/// stands at k w + r, what is by run has w numbers. Old numbers stay as they are, so that a step can be
/// refused.
template <class T>
struct RunRuleArgs {
  std::size_t size;  ///< entries of a run's W
  const T* gradient;
  const T *weights, *remainder;      ///< W, and what it has been rounded off; null: that is not kept
  T *next_weights, *next_remainder;  ///< out: W - step * direction
  const double* step;                ///< by run
  const double *unit, *unit_again;   ///< by run: what the gradient is multiplied by, one after the other
  double* squared;                   ///< out, by run: of the direction
  // What the rule remembers, and by run what of it stays, and what comes in.
  const double *mean = nullptr, *root = nullptr;
  double *next_mean = nullptr, *next_root = nullptr;
  const double *keep_mean = nullptr, *keep_root = nullptr;
  const double* rescale = nullptr;  ///< once more, of both: to another exponent
  const double *take_mean = nullptr, *take_root = nullptr;
  const double *mean_share = nullptr, *root_share = nullptr;  ///< what they count in the direction
  const double* eps = nullptr;
  double *largest_mean = nullptr, *largest_root = nullptr;  ///< out, by run: of what is remembered now
};

}  // namespace softstep::simd
