// The fused attention kernel: scores, pivot softmax, gap and gradient row, X_i from memory once.

#include "attention_pass.h"

namespace softstep::bench {
namespace {

template <class T>
PlainAttention<T> plain(const simd::AttentionArgs<T>& in) {
  return {in.tokens, in.n_tokens, in.dim, in.projected_query, in.score_gaps, in.gradient, in.weights};
}

const bool registered =
    register_attention("attention", []<class T>(const Contender<T>& c, const simd::AttentionArgs<T>& args) {
      if (c.isa != nullptr) return static_cast<double>(c.isa->template kernels<T>().attention(args).exponent);
      c.baseline->attention(plain(args));
      return 0.0;
    });

}  // namespace
}  // namespace softstep::bench
