#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"

namespace softstep {

/// Sentences of token vectors. The last token of a sentence is its query. What follows it is one of a
/// vocabulary, with probabilities; with one entry, that token for certain.
struct SOFTSTEP_EXPORT SentenceData {
  std::size_t vocabulary = 0;       ///< V: how many tokens may follow
  std::size_t dim = 0;              ///< d of a token vector
  std::vector<double> tokens = {};  ///< [total, dim] row-major, x_it
  /// [n + 1] sentence i owns the tokens first[i] .. first[i+1]-1
  std::vector<std::size_t> first = {};
  std::vector<double> probabilities = {};    ///< [n] pi_i up to a common factor, positive
  std::vector<std::size_t> first_next = {};  ///< [n + 1] as `first`, for the next two
  std::vector<std::size_t> next = {};        ///< distinct numbers below vocabulary
  std::vector<double> labels = {};           ///< p_iv up to a factor common to the sentence, positive
  /// Sentences.
  std::size_t n_sentences() const { return probabilities.size(); }
  void validate() const;   ///< throws InvalidArgument naming the first field that is wrong
  double entropy() const;  ///< H = -sum_i pi_i sum_v p_iv log p_iv: no cross entropy is below it
};

/// What the layer does with its scores.
enum class TokenMixing {
  softmax,  ///< attention weights are softmax(s)
  linear    ///< attention weights are the scores
};
SOFTSTEP_EXPORT const char* to_string(TokenMixing mixing);

/// What the loss gap is measured from.
enum class SentenceInfimum {
  entropy,    ///< H of the data
  best_token  ///< the cross entropy with all attention at the token where that is least; softmax, nothing but
              ///< the scores trained
};
SOFTSTEP_EXPORT const char* to_string(SentenceInfimum infimum);

/// Which parts of the layer are trained.
struct SOFTSTEP_EXPORT VocabularyAttentionOptions {
  TokenMixing mixing = TokenMixing::softmax;  ///< what is done with the scores
  /// [K, dim, dim] B_k: W = sum_k lambda_k B_k, and lambda is trained. Empty: W is trained.
  std::vector<double> directions = {};
  std::vector<double> values = {};        ///< [vocabulary, dim] W_ov; empty: it is trained
  bool has_feed_forward = false;          ///< whether there is an F
  std::vector<double> feed_forward = {};  ///< [vocabulary, dim] F; empty: it is trained, if there is one
  SentenceInfimum infimum = SentenceInfimum::entropy;  ///< what the loss gap is measured from
  std::string isa = {};                                ///< instruction set; empty means active_isa()
  void validate() const;                               ///< throws InvalidArgument naming the field
};

/// Attention of the last token with a vocabulary head, by cross entropy. z_i is the last token of sentence i:
///   s_it = x_it^T W z_i,  a_i = softmax(s_i) or s_i,  h_i = sum_t a_it x_it
///   logits = W_ov h_i + F (z_i + h_i),  L = -sum_i pi_i sum_v p_iv log softmax(logits)_v
/// (R. Huang, Y. Liang, J. Yang, arXiv 2409.17335: softmax, without F; Q. Nguyen, T. Nguyen-Tang, arXiv
/// 2505.15009: linear, with F, where W stands transposed.) With e_i = softmax(logits) - p_i and
/// g_it = e_i^T (W_ov + F) x_it
///   dL/dW = sum_i pi_i sum_t c_it x_it z_i^T,  dL/dlambda_k = <B_k, dL/dW>
///   c_it = a_it (g_it - sum_r a_ir g_ir)  (softmax)   or g_it  (linear)
///   dL/dW_ov = sum_i pi_i e_i h_i^T,       dL/dF = sum_i pi_i e_i (z_i + h_i)^T
/// c is formed against the token that attention is largest at, so that it keeps its digits where attention is
/// saturated; e from the odds of what does not follow and from how far the logits of what may follow are off
/// their log-odds. Gradients have exponents of their own.
///
/// Blocks: "weights" [dim, dim], or "scales" [K, 1]; then "values" and "feed_forward" [vocabulary, dim] as
/// far as they are trained. Observables are the blocks. The gap from H keeps its digits for sentences with
/// one next token, and else down to the rounding of logits; that from the best token always, and it may be
/// negative far from there. A sample is a sentence; over some, probabilities are renormalised. Works in
/// double whatever T, on one thread. The model keeps a copy of the data. Throws InvalidArgument naming what
/// is wrong.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_vocabulary_attention_model(
    const SentenceData& data, const VocabularyAttentionOptions& options = {});

}  // namespace softstep
