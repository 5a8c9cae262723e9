#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "softstep/error.h"
#include "softstep/export.h"
#include "softstep/number_type.h"
#include "softstep/stored_type.h"

namespace softstep {

/// A batch of labelled token sequences, looked at where it lies: nothing is copied, the caller keeps the
/// memory alive and unchanged while the view is in use. n samples; sample i has T_i tokens of dimension d.
///
/// Uniform (`offsets == nullptr`): every sample has `n_tokens` tokens, sample i starts at
///   tokens + i * sample_stride;
/// a stride below n_tokens * token_stride (dim or more) makes overlapping windows of one sequence.
/// Ragged (`offsets != nullptr`): sample i owns rows offsets[i] .. offsets[i+1]-1 of one token array;
/// n_tokens and sample_stride are not used.
/// Token t of a sample starts token_stride elements after token t-1; its `dim` elements are contiguous.
template <NumberType T>
struct SOFTSTEP_EXPORT BatchView {
  const T* tokens = nullptr;  ///< the first token of the first sample
  std::size_t n_samples = 0;  ///< n
  std::size_t n_tokens = 0;   ///< tokens per sample, uniform batches only
  std::size_t dim = 0;        ///< d
  const std::int64_t* offsets =
      nullptr;                          ///< [n_samples + 1], increasing, offsets[0] >= 0; ragged batches only
  std::size_t token_stride = 0;         ///< elements; 0 means dim
  std::size_t sample_stride = 0;        ///< elements; 0 means n_tokens * token_stride
  const std::int8_t* labels = nullptr;  ///< [n_samples], each -1 or +1
  /// [n_samples] real targets in place of labels, for losses of the prediction itself (softstep/loss.h);
  /// labels are not looked at then.
  const T* targets = nullptr;
  const T* decoder = nullptr;  ///< u, [dim]; may be null where no decoder is needed
  /// The query z_i of a sample that has one: separate vectors if `queries` is set, else token query_index[i]
  /// of sample i, else token 0.
  const std::int64_t* query_index = nullptr;  ///< [n_samples], 0-based within the sample
  const T* queries = nullptr;                 ///< [n_samples] rows of dim elements
  std::size_t query_stride = 0;               ///< elements between rows of `queries`; 0 means dim
  /// Several queries a sample, z_iq for q = 0 .. m_i - 1, whose outputs are pooled by weights w_iq:
  ///   f(X_i) = sum_q w_iq u^T X_i^T softmax(X_i W z_iq)
  /// One of three fields says so: every token of a sample is a query of it; or all samples have `n_queries`;
  /// or sample i has those from query_offsets[i] to query_offsets[i+1] - 1. In the last two cases
  /// `query_index` or `queries` has an entry or a row for each query, those of sample 0 first.
  bool all_tokens_are_queries = false;
  std::size_t n_queries = 1;                         ///< m of every sample
  std::span<const std::int64_t> query_offsets = {};  ///< [n_samples + 1], increasing from 0
  /// w_iq, one for each query of each sample, or one for each of the m queries that all samples have. Finite
  /// and above 0; they need not add up to 1. Empty: the mean, w_iq = 1 / m_i.
  std::span<const T> query_weights = {};

  /// Elements from a token to the next.
  std::size_t row_stride() const { return token_stride ? token_stride : dim; }
  /// T_i
  std::size_t tokens_of(std::size_t i) const {
    return offsets ? static_cast<std::size_t>(offsets[i + 1] - offsets[i]) : n_tokens;
  }
  /// The first token of sample i.
  const T* sample(std::size_t i) const {
    if (offsets) return tokens + static_cast<std::size_t>(offsets[i]) * row_stride();
    return tokens + i * (sample_stride ? sample_stride : n_tokens * row_stride());
  }
  /// m_i
  std::size_t queries_of(std::size_t i) const {
    if (all_tokens_are_queries) return tokens_of(i);
    return query_offsets.empty() ? n_queries
                                 : static_cast<std::size_t>(query_offsets[i + 1] - query_offsets[i]);
  }
  /// Place of a sample's first query among the queries of all samples.
  std::size_t first_query(std::size_t i) const {
    if (all_tokens_are_queries)
      return offsets ? static_cast<std::size_t>(offsets[i] - offsets[0]) : i * n_tokens;
    return query_offsets.empty() ? i * n_queries : static_cast<std::size_t>(query_offsets[i]);
  }
  /// The token of sample i that its query q is; not for separate vectors.
  std::size_t query_token(std::size_t i, std::size_t q = 0) const {
    if (all_tokens_are_queries) return q;
    return query_index ? static_cast<std::size_t>(query_index[first_query(i) + q]) : 0;
  }
  /// z_iq
  const T* query(std::size_t i, std::size_t q = 0) const {
    if (queries) return queries + (first_query(i) + q) * (query_stride ? query_stride : dim);
    return sample(i) + query_token(i, q) * row_stride();
  }
  /// w_iq
  double query_weight(std::size_t i, std::size_t q = 0) const {
    if (query_weights.empty()) return 1.0 / static_cast<double>(queries_of(i));
    return static_cast<double>(
        query_weights[query_weights.size() == total_queries() ? first_query(i) + q : q]);
  }
  /// Queries of all samples together.
  std::size_t total_queries() const;
  /// Whether every sample has one query, of weight 1.
  bool has_single_queries() const;
  /// y_i of a label; 1 where the batch has targets.
  double sign(std::size_t i) const { return targets == nullptr && labels[i] < 0 ? -1.0 : 1.0; }
  /// What a loss is measured against: 1 where the batch has labels.
  double target(std::size_t i) const { return targets == nullptr ? 1.0 : static_cast<double>(targets[i]); }
  /// Tokens in all samples together.
  std::size_t total_tokens() const;

  /// Checks everything a kernel relies on: pointers, sizes, strides, overflow, offsets, labels, query
  /// indices and weights, finiteness of tokens, queries and decoder. Throws InvalidArgument naming the first
  /// field that is wrong.
  void validate() const;
};

/// A batch whose tokens are in 16 bits, looked at where they lie, as a BatchView does; an
/// AttentionModel<float> computes with them in float32 and copies none. The caller keeps the memory alive and
/// unchanged while the view, or a model of it, is in use. Metrics and max-margin solvers take a BatchView.
struct SOFTSTEP_EXPORT HalfBatchView {
  std::span<const std::uint16_t> tokens =
      {};                                ///< the bits; at least up to the last token that the view reaches
  StoredType storage = StoredType::f16;  ///< f16 or bf16
  /// All but the tokens: `rest.tokens` is null, strides and offsets count in elements and rows of `tokens`
  /// above. The query of a sample is one of its tokens here too, unless `rest.queries` is set.
  BatchView<float> rest = {};

  /// Where in `tokens` sample i begins; its token t is t * rest.row_stride() elements on.
  std::size_t place(std::size_t i) const {
    if (rest.offsets) return static_cast<std::size_t>(rest.offsets[i]) * rest.row_stride();
    return i * (rest.sample_stride ? rest.sample_stride : rest.n_tokens * rest.row_stride());
  }
  /// The first token of sample i.
  const std::uint16_t* sample(std::size_t i) const { return tokens.data() + place(i); }
  /// As BatchView::validate; also that `tokens` is long enough.
  void validate() const;
};

/// Best-scoring tokens of a batch: gamma_it = y_i u^T x_it, opt_i = argmax_t gamma_it (docs/mathematics.md,
/// section 1). gamma is accumulated in twice the working precision, so that the gaps are right to rounding
/// even where two scores nearly agree. Scores that even this cannot tell apart, by a bound of the error
/// summed along, count as equal: gap 0. Made by score_tokens, for softstep/metrics.h.
struct TokenScores {
  std::vector<std::size_t> first;  ///< [n+1] first entry of sample i in `gaps`
  std::vector<double> gaps;        ///< gamma_i,opt - gamma_it >= 0, 0 at the optimal token
  std::vector<int>
      gap_power;  ///< empty, or [n]: gaps of sample i are times 2^gap_power[i], too small for double
  std::vector<double> optimal_score;    ///< [n] gamma_i,opt
  std::vector<std::size_t> optimal;     ///< [n] opt_i, the first of equals
  std::vector<std::size_t> not_unique;  ///< samples with more than one best-scoring token
};

/// Scores every token with the batch's decoder. Throws InvalidArgument if the batch has none.
template <NumberType T>
SOFTSTEP_EXPORT TokenScores score_tokens(const BatchView<T>& batch);
SOFTSTEP_EXPORT TokenScores score_tokens(const HalfBatchView& batch);

extern template struct BatchView<float>;
extern template struct BatchView<double>;

}  // namespace softstep
