// The fused attention kernel: scores, pivot softmax, gap and gradient row, X_i from memory once. Beside it the same passes
// around the textbook softmax: what the pivot form costs is the ratio of the two.

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
    []<class T>(const Contender<T>& c, const simd::AttentionArgs<T>& args) {
      return static_cast<double>(textbook_attention(c.isa->name, args).exponent);
    },
    true);

const bool registered =
    register_attention("attention", []<class T>(const Contender<T>& c, const simd::AttentionArgs<T>& args) {
      if (c.isa != nullptr) return static_cast<double>(c.isa->template kernels<T>().attention(args).exponent);
      c.baseline->attention(plain(args));
      return 0.0;
    });

}  // namespace
}  // namespace softstep::bench
