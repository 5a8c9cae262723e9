// Compiled once per row of simd/isas.def with that row's flags, as simd/one_isa.cpp is.

#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE AttentionStats<T> textbook(const AttentionArgs<T>& in) {
  using V = Vec<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::size_t n = in.n_tokens;
  token_scores<WorkingTokens<T>>(in.tokens, in);
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
  AttentionStats<T> out{first_equal(in.scores, n, top), T(0), scale, mean, T(0), T(0),
                        in.scores[in.optimal] - top,    T(0)};
  if (in.gradient == nullptr) return out;
  for_each_vector(in.weights, in.score_gaps, n, T(0),
                  [&](V e, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    store_count(e * V::all(scale) * (V::all(mean) - gap), in.weights + t, count);
                  });
  out.largest = gradient_row<WorkingTokens<T>>(in.tokens, in);
  return out;
}

AttentionStats<float> textbook_f32(const AttentionArgs<float>& in);
AttentionStats<double> textbook_f64(const AttentionArgs<double>& in);
AttentionStats<float> textbook_f32(const AttentionArgs<float>& in) { return textbook(in); }
AttentionStats<double> textbook_f64(const AttentionArgs<double>& in) { return textbook(in); }

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
