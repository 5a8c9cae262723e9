#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/loss.h"
#include "softstep/metrics.h"

namespace softstep {

/// Dual norm of a rows x cols row-major matrix, the largest <A, B> over all B of norm 1: of the largest entry
/// the sum of all, of the spectral norm the nuclear one, of l_p that of l_p/(p-1), and the other way round.
/// Without overflow or underflow on the way, except where the result itself leaves the range. Throws
/// InvalidArgument as matrix_norm does.
SOFTSTEP_EXPORT double dual_norm(std::span<const double> a, std::size_t rows, std::size_t cols,
                                 MatrixNorm norm, double p = 2.0);

/// A bound on the margin that any W has, in any norm, without a solver. Let A_k be the constraints, margin(W)
/// = min_k <A_k, W> / ||W||. For multipliers lambda_k >= 0, not all zero,
///   margin(W) sum_k lambda_k <= <sum_k lambda_k A_k, W> / ||W|| <= || sum_k lambda_k A_k ||_dual.
/// Training has such multipliers at hand: the gradient of a loss that falls with every <A_k, W> is
/// -sum_k lambda_k A_k (Lemma 1 of C. Fan, M. Schmidt, C. Thrampoulidis, arXiv 2502.04664, read as a
/// certificate). As W turns to the largest margin, those bounds come down to it. An average over steps is a
/// bound as well, and the better one where the last gradient swings about that limit. The average is that of
/// sum lambda_k A_k / sum lambda_k, so that the gradient's size does not matter.
class SOFTSTEP_EXPORT MarginCertificate {
 public:
  /// For W of n_rows x n_cols. Throws InvalidArgument where one is 0.
  MarginCertificate(std::size_t n_rows, std::size_t n_cols);
  /// Takes sum_k lambda_k A_k and sum_k lambda_k into the average. Throws InvalidArgument for another size,
  /// an entry that is not finite, or a weight that is not positive and finite.
  void add(std::span<const double> combination, double weight);
  /// The average of sum lambda_k A_k / sum lambda_k, n_rows x n_cols row-major; zeros while nothing has been
  /// added. Its parts bound the margin of a W that has those parts alone, as a diagonal W.
  std::vector<double> average() const;
  /// Combinations taken in so far.
  std::size_t size() const { return size_; }
  /// No W has a larger margin, but for rounding. +infinity while nothing has been added.
  double bound(MatrixNorm norm, double p = 2.0) const;
  /// margin / bound: of a positive margin, at least this share of the largest margin that there is. 0 while
  /// nothing has been added.
  double share(double margin, MatrixNorm norm, double p = 2.0) const;

 private:
  std::size_t n_rows_, n_cols_, size_ = 0;
  std::vector<double> sum_;
};

/// Adds what the gradient of the attention layer at W (dim x dim) is made of. With s = softmax(X_i W z_iq),
/// gamma and c_i = -l'(margin_i) the multiplier of (x_i,opt - x_it) z_iq^T is
///   lambda = c_i w_iq s_t (sum_r s_r gamma_r - gamma_t),
/// where it is positive; a token that scores above the attended mean has none. -dL/dW is this very sum where
/// no such token is left, in the end. Formed relative to the largest, so that no attention is too saturated.
/// Returns false, and adds nothing, where no multiplier is positive. Throws InvalidArgument for weights of
/// another size or not finite, and a batch without decoder.
template <NumberType T>
SOFTSTEP_EXPORT bool add_attention_gradient(MarginCertificate& certificate, const BatchView<T>& batch,
                                            const TokenScores& scores, std::span<const float> weights,
                                            Loss loss = Loss::logistic);
template <NumberType T>
SOFTSTEP_EXPORT bool add_attention_gradient(MarginCertificate& certificate, const BatchView<T>& batch,
                                            const TokenScores& scores, std::span<const double> weights,
                                            Loss loss = Loss::logistic);

/// What share of the largest margin in a norm W has at least, where its own is positive: margin_in_norm over
/// the bound of the gradient at W alone. At most 1 but for rounding; NaN at W = 0 and where there is no
/// constraint. Rules whose last gradient swings (constant steps) need an average: MarginCertificate.
template <NumberType T>
SOFTSTEP_EXPORT double certified_share(const BatchView<T>& batch, const TokenScores& scores,
                                       std::span<const float> weights, MatrixNorm norm, double p = 2.0);
template <NumberType T>
SOFTSTEP_EXPORT double certified_share(const BatchView<T>& batch, const TokenScores& scores,
                                       std::span<const double> weights, MatrixNorm norm, double p = 2.0);

}  // namespace softstep
