// Compiled once per row of simd/isas.def with that row's flags, as simd/one_isa.cpp is.

#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// As pivot_softmax.
template <class T>
SOFTSTEP_INLINE AttentionStats<T> textbook_softmax(const AttentionArgs<T>& in) {
  using V = Vec<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::size_t n = in.n_tokens;
  V best = V::all(-infinity), total = V::all(0), moment = total;
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V, std::size_t, std::size_t) SOFTSTEP_LAMBDA_INLINE { best = max(best, s); });
  const T top = maximum(best);
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    const V e = exp_nonpositive(s - V::all(top));
                    total = total + e;
                    moment = fma(e, gap, moment);
                    store_count(e, in.weights + t, count);
                  });
  const T scale = T(1) / sum(total), mean = scale * sum(moment);
  return {first_equal(in.scores, n, top), T(0), scale, mean, T(0), T(0), in.scores[in.optimal] - top, T(0)};
}

template <class T>
SOFTSTEP_INLINE void textbook(const AttentionArgs<T>* samples, std::size_t n, AttentionStats<T>* stats) {
  using V = Vec<T>;
  in_turn(
      samples, n,
      [&](std::size_t k)
          SOFTSTEP_LAMBDA_INLINE { token_scores<WorkingTokens<T>>(samples[k].tokens, samples[k]); },
      [&](std::size_t k) SOFTSTEP_LAMBDA_INLINE {
        const AttentionArgs<T>& in = samples[k];
        stats[k] = textbook_softmax(in);
        if (in.gradient == nullptr) return;
        const V scale = V::all(stats[k].pivot_attention), mean = V::all(stats[k].mean_gap);
        for_each_vector(in.weights, in.score_gaps, in.n_tokens, T(0),
                        [&](V e, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                          store_count(e * scale * (mean - gap), in.weights + t, count);
                        });
      },
      [&](std::size_t k) SOFTSTEP_LAMBDA_INLINE {
        const AttentionArgs<T>& in = samples[k];
        if (in.gradient != nullptr) stats[k].largest = gradient_row<WorkingTokens<T>>(in.tokens, in);
      });
}

void textbook_f32(const AttentionArgs<float>* samples, std::size_t n, AttentionStats<float>* stats);
void textbook_f64(const AttentionArgs<double>* samples, std::size_t n, AttentionStats<double>* stats);
void textbook_f32(const AttentionArgs<float>* samples, std::size_t n, AttentionStats<float>* stats) {
  textbook(samples, n, stats);
}
void textbook_f64(const AttentionArgs<double>* samples, std::size_t n, AttentionStats<double>* stats) {
  textbook(samples, n, stats);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
