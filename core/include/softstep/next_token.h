#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softstep/error.h"
#include "softstep/export.h"
#include "softstep/model.h"

namespace softstep {

/// Contexts h_j in R^dim that occur with probability pi_j, each followed by tokens of its support S_j with
/// probabilities p_jv.
struct SOFTSTEP_EXPORT NextTokenData {
  std::size_t vocabulary = 0;              ///< tokens that there are
  std::size_t dim = 0;                     ///< d of a context
  std::vector<double> contexts = {};       ///< [n_contexts, dim] row-major
  std::vector<double> probabilities = {};  ///< [n_contexts] pi_j up to a common factor, positive
  std::vector<std::size_t> first =
      {};  ///< [n_contexts + 1] context j owns entries first[j] .. first[j+1]-1 of the next two
  std::vector<std::size_t> tokens = {};  ///< S_j: distinct numbers below vocabulary
  std::vector<double> labels = {};       ///< p_jv up to a factor common to the context, positive
  /// Contexts.
  std::size_t n_contexts() const { return probabilities.size(); }
  void validate() const;   ///< throws InvalidArgument naming the first field that is wrong
  double entropy() const;  ///< H = -sum_j pi_j sum_v p_jv log p_jv, the infimum of the cross entropy
};

/// n_contexts <= dim random contexts of unit norm, hence linearly independent: every labelling of them is
/// compatible and separable. From the stream of the generators (the same seed gives the same bytes), context
/// by context: dim normal(), divided by their norm; its probability 0.5 + uniform(); its support,
/// support_size steps of a Fisher-Yates shuffle of the vocabulary (exchange entries k and k +
/// index(vocabulary - k), take entry k); its labels, each 0.1 + uniform(). Then all normalised.
SOFTSTEP_EXPORT NextTokenData next_token_example(std::size_t n_contexts, std::size_t vocabulary,
                                                 std::size_t dim, std::size_t support_size,
                                                 std::uint64_t seed);

/// Next-token prediction with logits W h_j, W vocabulary x dim (Thrampoulidis, "Implicit Optimization Bias of
/// Next-Token Prediction in Linear Models", 2024):
///   CE = -sum_j pi_j sum_v p_jv log softmax(W h_j)_v >= H
/// Training drives CE to H: with F the span of the matrices (e_v - e_v') h_j^T, v and v' in S_j, the part of
/// W in F tends to the W_F whose logits differ by the log-odds of the supports, and the part orthogonal to F
/// diverges along
///   NTP-SVM:  min ||W||  s.t.  (e_v - e_v')^T W h_j = 0 for v, v' in S_j,   >= 1 for v in S_j, v' outside.
///
/// Two blocks, W = W_F + sum_k theta_k U_k + B:
///   "finite"  theta, coordinates in an orthonormal basis U of F, measured from W_F: 0 is where the
///             equalities hold
///   "margin"  B, vocabulary x dim, orthogonal to F
/// Why not W itself: once the mass outside the supports is below machine epsilon, the rounding of the part in
/// F drowns the gradient of the other. Here the two never meet. The logits within a support come from theta
/// alone (B adds the same to all), their deviation from log p_jv without W_F, so that it is right relative to
/// theta, however small (entries below the smallest normal number of T count as zero). With q the softmax
/// within the support, o that outside, and R_j = (mass outside) / (mass inside),
///   CE - H = sum_j pi_j (KL(p_j || q_j) + log1p(R_j))
///   dL/dB = P (sum_j pi_j rho_j (o_j - q_j) h_j^T),  rho = R / (1 + R),  P the projection orthogonal to F
///   dL/dtheta_k = <U_k, sum_j pi_j ((q_j - p_j) + rho_j (o_j - q_j)) h_j^T>
/// each with an exponent of its own; q - p lies in F and is not in dL/dB. U and B being orthogonal, gradient
/// descent with one step size for both blocks is gradient descent on W.
///
/// CE is `loss`, CE - H `loss_gap`. Watched: "margin" (B), then "finite" (W_F + sum_k theta_k U_k). A sample
/// is a context; over some, probabilities are renormalised. Works in double whatever T, on one thread. Keeps
/// the basis, rank x vocabulary x dim. Throws InvalidArgument for bad data, and where no W has the log-odds
/// of every support (then CE does not come down to H).
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_next_token_model(const NextTokenData& data,
                                                                const std::string& isa = "");

/// The blocks of this model at W (vocabulary x dim); empty: W = 0.
SOFTSTEP_EXPORT std::vector<std::vector<double>> next_token_blocks(const NextTokenData& data,
                                                                   const std::vector<double>& weights = {});

}  // namespace softstep
