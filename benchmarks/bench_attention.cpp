// The fused attention kernel: scores, pivot softmax, gap and gradient row, X_i from memory once. Beside it
// the same passes around the textbook softmax: what the pivot form costs is the ratio of the two.

#include "attention_pass.h"
#include "textbook/attention.h"

namespace softstep::bench {
namespace {

template <class T>
PlainAttention<T> plain(const simd::AttentionArgs<T>& in) {
  return {in.tokens, in.n_tokens, in.dim, in.projected_query, in.score_gaps, in.gradient, in.weights};
}

const bool registered_textbook = register_attention(
    "attention_textbook",
    []<class T>(const Contender<T>& c, const simd::AttentionArgs<T>* samples, std::size_t n,
                simd::AttentionStats<T>* stats) { textbook_attention(c.isa->name, samples, n, stats); },
    true);

const bool registered =
    register_attention("attention", []<class T>(const Contender<T>& c, const simd::AttentionArgs<T>* samples,
                                                std::size_t n, simd::AttentionStats<T>* stats) {
      if (c.isa != nullptr) return c.isa->template kernels<T>().attention(samples, n, stats);
      for (std::size_t k = 0; k < n; ++k) {
        c.baseline->attention(plain(samples[k]));
        stats[k].exponent = T(0);
      }
    });

}  // namespace
}  // namespace softstep::bench
