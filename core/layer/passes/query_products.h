#pragma once

// Many queries of one sample: the scores of all are a product, S = V X^T, and so are the gradient rows, R X.
// Between them the kernel turns each row of scores into statistics and r / e^c. A product reads its operands
// from the cache once for several rows, while a visit to the tokens for one query after another is bound by
// what the cache delivers.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include "core/layer/attention_data.h"
#include "core/linalg/panels.h"
#include "simd/dispatch.h"

namespace softstep {

/// With the work space of one thread.
template <class T>
class QueryProducts {
 public:
  /// Fewer queries are attended to one by one.
  static constexpr std::size_t from = 8;

  /// The m queries of a sample whose arguments of the kernel these are. Adds sum_q weight(q) X^T p_q to
  /// `mean`, unless null.
  void attend(const AttentionData<T>& data, const simd::AttentionArgs<T>* args, std::size_t m,
              std::size_t sample, simd::AttentionStats<T>* stats,
              const std::function<double(std::size_t)>& weight, T* mean) {
    const std::size_t n_tokens = args->n_tokens, most = std::min(m, together);
    score_stride_ = simd::round_up_to_lanes<T>(n_tokens);
    scores_.resize(most * score_stride_);
    weights_.resize(most * score_stride_);
    if (mean != nullptr) attention_.assign(n_tokens, 0.0);
    const PlainRows<T> tokens = tokens_of(data, *args, sample);
    const bool packs = m >= worth_packing;
    if (packs) {
      panels_.resize(panels_size(data.batch.dim, n_tokens, data.kernels.tile_columns));
      pack_transposed(data.kernels, tokens, n_tokens, data.batch.dim, panels_.data());
    }
    for (std::size_t q = 0; q < m; q += together) {
      const std::size_t count = std::min(together, m - q);
      attend_to(data, args + q, count, tokens, packs, stats + q);
      for (std::size_t k = 0; mean != nullptr && k < count; ++k)
        add_attention(data.kernels, k, n_tokens, stats[q + k], weight(q + k));
    }
    for (std::size_t t = 0; mean != nullptr && t < n_tokens; ++t)
      if (attention_[t] != 0.0)
        data.kernels.axpy(data.batch.dim, static_cast<T>(attention_[t]), tokens.rows + t * tokens.ld, mean);
  }

 private:
  /// Queries at a time, whose scores stay in the cache.
  static constexpr std::size_t together = 64;
  /// So many repay that the tokens are transposed into panels, which products read twice as fast.
  static constexpr std::size_t worth_packing = 16;

  // In T, as products take them: those in 16 bits are read once for all queries.
  PlainRows<T> tokens_of(const AttentionData<T>& data, const simd::AttentionArgs<T>& args,
                         std::size_t sample) {
    if (data.storage() == StoredType::working) return {args.tokens, args.token_stride};
    const std::size_t d = data.batch.dim;
    tokens_.resize(args.n_tokens * d);
    simd::PackArgs<T> pack{};
    pack.n_rows = args.n_tokens;
    pack.n_columns = d;
    pack.stride = static_cast<std::ptrdiff_t>(data.half_stride());
    pack.storage = data.storage();
    pack.half_rows = data.half_sample(sample);
    pack.scale = T(1);
    pack.out = tokens_.data();
    pack.ld = d;
    data.kernels.pack_rows(pack);
    return {tokens_.data(), d};
  }

  void attend_to(const AttentionData<T>& data, const simd::AttentionArgs<T>* args, std::size_t count,
                 PlainRows<T> tokens, bool packed, simd::AttentionStats<T>* stats) {
    const std::size_t n_tokens = args->n_tokens, d = data.batch.dim, stride = data.stride;
    if (packed)
      data.kernels.product_panels({count, n_tokens, d, args->projected_query, stride, false, panels_.data(),
                                   d, scores_.data(), score_stride_, false});
    else
      data.kernels.product_nt({count, n_tokens, d, args->projected_query, stride, tokens.rows, tokens.ld,
                               scores_.data(), score_stride_});
    given_.assign(args, args + count);
    for (std::size_t k = 0; k < count; ++k) {
      given_[k].tokens = nullptr;
      given_[k].half_tokens = nullptr;
      given_[k].storage = StoredType::working;
      given_[k].gradient = nullptr;
      given_[k].scores = scores_.data() + k * score_stride_;
      given_[k].weights = weights_.data() + k * score_stride_;
    }
    data.kernels.attention(given_.data(), count, stats);
    if (args->gradient == nullptr) return;
    data.kernels.product_nn(
        {count, d, n_tokens, weights_.data(), score_stride_, tokens.rows, tokens.ld, args->gradient, stride});
    for (std::size_t k = 0; k < count; ++k) stats[k].largest = largest_entry(args[k].gradient, d);
  }

  // p_t w = e^(s_t - s_a) p_a w
  void add_attention(const simd::Kernels<T>& kernels, std::size_t k, std::size_t n_tokens,
                     const simd::AttentionStats<T>& stats, double weight) {
    const T* scores = scores_.data() + k * score_stride_;
    T* p = weights_.data() + k * score_stride_;
    const T top = scores[stats.pivot];
    for (std::size_t t = 0; t < n_tokens; ++t) p[t] = scores[t] - top;
    kernels.exp_nonpositive(p, p, n_tokens);
    const double factor = weight * static_cast<double>(stats.pivot_attention);
    for (std::size_t t = 0; t < n_tokens; ++t) attention_[t] += factor * static_cast<double>(p[t]);
  }

  // As largest_of(), in as many chains as the compiler makes vectors of.
  static T largest_entry(const T* a, std::size_t size) {
    constexpr std::size_t chains = 64 / sizeof(T);
    T largest[chains] = {}, poison[chains] = {};
    std::size_t j = 0;
    for (; j + chains <= size; j += chains)
      for (std::size_t k = 0; k < chains; ++k) {
        largest[k] = std::max(largest[k], std::fabs(a[j + k]));
        poison[k] += a[j + k] * T(0);
      }
    T out = T(0), sum = T(0);
    for (std::size_t k = 0; k < chains; ++k) {
      out = std::max(out, largest[k]);
      sum += poison[k];
    }
    for (; j < size; ++j) {
      out = std::max(out, std::fabs(a[j]));
      sum += a[j] * T(0);
    }
    return out + sum;
  }

  std::size_t score_stride_ = 0;
  std::vector<T> scores_, weights_;  // S; R, then p
  std::vector<T> tokens_;            // decoded from 16 bits
  std::vector<T> panels_;            // X^T
  std::vector<simd::AttentionArgs<T>> given_;
  std::vector<double> attention_;  // sum_q w_q p_q
};

}  // namespace softstep
