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
  std::size_t n;      ///< samples of a run
  bool logistic;      ///< the loss: logistic, else exponential
  const T* exponent;  ///< c_i
  const T* mean_gap;  ///< mu_i in units of gap_unit
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

}  // namespace softstep::simd
