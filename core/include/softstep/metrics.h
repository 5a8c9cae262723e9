#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"

namespace softstep {

// Where samples have several queries (BatchView), margins are the smallest over all of them, and what is said
// of attention is a sample's mean over its queries by weight. Tokens are chosen for each sample, or for each
// query.
//
// Arrays of float or double, whatever the batch is in: a std::vector or a std::span. `weights` are W, dim x
// dim row-major. Another size than the one that is needed is an InvalidArgument.

/// ||A||_F without overflow or underflow.
SOFTSTEP_EXPORT double frobenius_norm(std::span<const float> a);
SOFTSTEP_EXPORT double frobenius_norm(std::span<const double> a);

/// Angle between two directions, computed from the unit matrices' difference and never as a subtraction from
/// 1, so that it is right to rounding for nearly parallel matrices.
struct Direction {
  double one_minus_cos =
      1.0;             ///< half the squared distance of the unit matrices, in [0, 2]; 1 if one is zero
  double angle = 0.0;  ///< radians, in [0, pi]; pi/2 if one is zero
};
/// Of two arrays of one size.
SOFTSTEP_EXPORT Direction compare_direction(std::span<const float> a, std::span<const float> b);
SOFTSTEP_EXPORT Direction compare_direction(std::span<const float> a, std::span<const double> b);
SOFTSTEP_EXPORT Direction compare_direction(std::span<const double> a, std::span<const float> b);
SOFTSTEP_EXPORT Direction compare_direction(std::span<const double> a, std::span<const double> b);

/// min over i and t != opt_i of (x_i,opt - x_it)^T W z_i / ||W||_F; +infinity with no constraint, NaN at W =
/// 0. `scores` are those of score_tokens(batch), or AttentionModel::token_scores().
template <NumberType T>
SOFTSTEP_EXPORT double normalized_margin(const BatchView<T>& batch, const TokenScores& scores,
                                         std::span<const float> weights);
template <NumberType T>
SOFTSTEP_EXPORT double normalized_margin(const BatchView<T>& batch, const TokenScores& scores,
                                         std::span<const double> weights);

/// Mean over samples of the attention entropy -sum_t p_it log p_it (natural), right under saturation.
template <NumberType T>
SOFTSTEP_EXPORT double mean_attention_entropy(const BatchView<T>& batch, std::span<const float> weights);
template <NumberType T>
SOFTSTEP_EXPORT double mean_attention_entropy(const BatchView<T>& batch, std::span<const double> weights);

/// Norms of a matrix.
enum class MatrixNorm {
  frobenius,  ///< root of the sum of squares
  spectral,   ///< the largest singular value
  max,        ///< the largest entry in size
  nuclear,    ///< the sum of the singular values
  l_p         ///< (sum |a_rc|^p)^(1/p) over the entries, p >= 1
};
SOFTSTEP_EXPORT const char* to_string(MatrixNorm norm);  ///< "frobenius", "spectral", "max", "nuclear", "lp"
SOFTSTEP_EXPORT MatrixNorm
parse_matrix_norm(const std::string& name);  ///< throws InvalidArgument listing the known names

/// Norm of a rows x cols row-major matrix, without overflow or underflow on the way; NaN if an entry is NaN.
/// `p` is used by l_p only. Throws InvalidArgument for p < 1 or not finite.
SOFTSTEP_EXPORT double matrix_norm(std::span<const float> a, std::size_t rows, std::size_t cols,
                                   MatrixNorm norm, double p = 2.0);
SOFTSTEP_EXPORT double matrix_norm(std::span<const double> a, std::size_t rows, std::size_t cols,
                                   MatrixNorm norm, double p = 2.0);

/// Singular values of a rows x cols row-major matrix, decreasing, min(rows, cols) of them; each right to some
/// rounding units of the largest. NaN if the matrix is not finite.
SOFTSTEP_EXPORT std::vector<double> singular_values(std::span<const float> a, std::size_t rows,
                                                    std::size_t cols);
SOFTSTEP_EXPORT std::vector<double> singular_values(std::span<const double> a, std::size_t rows,
                                                    std::size_t cols);

/// Number of singular values above relative_tolerance times the largest. The default, 1e-6, is for weights
/// that were trained or solved to about that: what is smaller cannot be told from zero in them. Throws
/// InvalidArgument unless 0 <= relative_tolerance < 1.
SOFTSTEP_EXPORT std::size_t numerical_rank(const std::vector<double>& singular_values,
                                           double relative_tolerance = 1e-6);

/// Smallest constraint of W over its norm: min over i and t != chosen_i of (x_i,chosen - x_it)^T W z_i /
/// ||W||. `chosen` has one token per sample, or per query; or `scores` of score_tokens(batch) choose the
/// optimal ones. +infinity with no constraint, NaN at W = 0. Throws
/// InvalidArgument for a bad choice or p.
template <NumberType T>
SOFTSTEP_EXPORT double margin_in_norm(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                                      std::span<const float> weights, MatrixNorm norm, double p = 2.0);
template <NumberType T>
SOFTSTEP_EXPORT double margin_in_norm(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                                      std::span<const double> weights, MatrixNorm norm, double p = 2.0);
template <NumberType T>
SOFTSTEP_EXPORT double margin_in_norm(const BatchView<T>& batch, const TokenScores& scores,
                                      std::span<const float> weights, MatrixNorm norm, double p = 2.0);
template <NumberType T>
SOFTSTEP_EXPORT double margin_in_norm(const BatchView<T>& batch, const TokenScores& scores,
                                      std::span<const double> weights, MatrixNorm norm, double p = 2.0);

/// (x_i,chosen - x_it)^T W z_i for every token in batch order, of several queries for every token of each;
/// +infinity at the chosen tokens, which are no constraints. Throws InvalidArgument for a bad batch or
/// choice.
template <NumberType T>
SOFTSTEP_EXPORT std::vector<double> constraint_values(const BatchView<T>& batch,
                                                      const std::vector<std::size_t>& chosen,
                                                      std::span<const float> weights);
template <NumberType T>
SOFTSTEP_EXPORT std::vector<double> constraint_values(const BatchView<T>& batch,
                                                      const std::vector<std::size_t>& chosen,
                                                      std::span<const double> weights);

/// The smallest constraint of each sample, not divided by any norm; +infinity for a sample of one token.
template <NumberType T>
SOFTSTEP_EXPORT std::vector<double> sample_margins(const BatchView<T>& batch,
                                                   const std::vector<std::size_t>& chosen,
                                                   std::span<const float> weights);
template <NumberType T>
SOFTSTEP_EXPORT std::vector<double> sample_margins(const BatchView<T>& batch,
                                                   const std::vector<std::size_t>& chosen,
                                                   std::span<const double> weights);

/// Support set of W: the entries k of `constraint_values` within relative_tolerance of the smallest one m,
/// values_k - m <= relative_tolerance |m|. Throws InvalidArgument for a negative tolerance.
SOFTSTEP_EXPORT std::vector<std::size_t> support_of_values(const std::vector<double>& constraint_values,
                                                           double relative_tolerance = 1e-3);
/// Support set of a max-margin solution: multipliers above `threshold` times the largest.
SOFTSTEP_EXPORT std::vector<std::size_t> support_of_multipliers(const std::vector<double>& multipliers,
                                                                double threshold = 1e-9);

/// Two support sets, increasing, compared.
struct SupportOverlap {
  std::size_t n_first = 0;   ///< entries of the first
  std::size_t n_second = 0;  ///< entries of the second
  std::size_t n_common = 0;  ///< entries of both
  double overlap = 1.0;      ///< n_common over the size of the union; 1 if both are empty
};
/// What two support sets have in common.
SOFTSTEP_EXPORT SupportOverlap compare_support(const std::vector<std::size_t>& first,
                                               const std::vector<std::size_t>& second);

/// How sparse attention is.
struct AttentionSparsity {
  double mean_entropy = 0.0;  ///< natural; as mean_attention_entropy
  double mean_effective_tokens =
      0.0;                      ///< mean over samples of exp(entropy): 1 on one token, T_i when uniform
  double fraction_below = 0.0;  ///< of all tokens, those with p_it < level
};
/// Throws InvalidArgument unless 0 < level < 1. A NaN among the scores makes everything NaN.
template <NumberType T>
SOFTSTEP_EXPORT AttentionSparsity attention_sparsity(const BatchView<T>& batch,
                                                     std::span<const float> weights, double level = 1e-3);
template <NumberType T>
SOFTSTEP_EXPORT AttentionSparsity attention_sparsity(const BatchView<T>& batch,
                                                     std::span<const double> weights, double level = 1e-3);

}  // namespace softstep
