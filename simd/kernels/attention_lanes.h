#pragma once

// The attention kernel of attention.h for many small samples, one sample to a lane. Where d and T are a few
// vectors or less, one sample at a time spends more on sums over lanes, loop heads and partly filled vectors
// than on the arithmetic.
//
// Formulas, outputs and special values are those of attention.h, by lane. Tokens lie with the sample index
// last, a cache line of samples after the other (LanesArgs, simd/dispatch.h), which is a copy that the caller
// makes once. A lane without token t has NaN for its gap and takes no part; a lane without tokens gives c =
// -infinity and a zero row. Its optimal score means nothing.
//
// Each lane's sums run over j and t in order, one chain each: the bits of a sample do not depend on its
// neighbours. Error: that of attention.h, of the scores as of the row; tests/simd/test_attention_lanes.cpp.
//
// Up to eight tokens have their scores and weights in registers, with a copy of the code for each number of
// tokens.
//
// Without `optimal` the kernel does what a step of training needs and no more: no lane may miss a token, and
// the pivot's gap, c, mu, e^c mu, the row and its largest entry are found. Gaps lie as the tokens do. Bounds
// and special values are the same.
//
// p_t errs as p_a does and by 3 (1 + |c|) + 3 (1 + |s_t - s_a - c|) + 3 u of what it is.
//
// e^c mu errs by 4 u of what it is with the c and mu given, but for numbers below the smallest normal one.
//
// Traffic: reads the tokens once if a group of samples, 64 T d bytes, stays in the first cache, else twice;
// reads v once; writes d + T elements a lane.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/attention.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Where the tokens of the vector of samples from i on are: token t is t * dim * lane_multiple further, entry
// j j * lane_multiple.
template <class T>
SOFTSTEP_INLINE const T* lane_tokens(const LanesArgs<T>& in, std::size_t i) {
  constexpr std::size_t group = lane_multiple<T>;
  return in.tokens + i / group * in.n_tokens * in.dim * group + i % group;
}

// `count` entries of the rows, from those of token 0 at x on, into g; returns the larger of `largest` and
// their absolute values.
template <std::size_t count, class T, class Weights>
SOFTSTEP_INLINE Vec<T> lane_gradient(const LanesArgs<T>& in, const T* x, T* g, const Weights& weights,
                                     Vec<T> largest) {
  using V = Vec<T>;
  V sum[count];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < count; ++r) sum[r] = V::all(0);
  const std::size_t stride = in.dim * lane_multiple<T>;
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V weight = weights.get(t);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < count; ++r) sum[r] = fma(V::load(x + r * lane_multiple<T>), weight, sum[r]);
    x += stride;
  });
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < count; ++r, g += in.n_lanes) {
    sum[r].store(g);
    largest = larger_size(largest, sum[r]);
  }
  return largest;
}

// Tokens whose exponentials are computed side by side.
inline constexpr std::size_t lane_group = 4;
template <std::size_t count>
using Size = std::integral_constant<std::size_t, count>;

// The scores of one vector of samples, later their weights: in registers where the number of tokens is known
// to the compiler, else in the work space.
template <class T, std::size_t count>
struct LaneWeights {
  Vec<T> w[count];
  SOFTSTEP_INLINE LaneWeights(const LanesArgs<T>&, std::size_t) {}
  SOFTSTEP_INLINE Vec<T> get(std::size_t t) const { return w[t]; }
  SOFTSTEP_INLINE void set(std::size_t t, Vec<T> x) { w[t] = x; }
  SOFTSTEP_INLINE void write(const LanesArgs<T>& in, std::size_t i) const {
    each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE { w[t].store(in.weights + t * in.n_lanes + i); });
  }
  template <class Body>
  SOFTSTEP_INLINE void each(Body body) const {
    SOFTSTEP_UNROLL
    for (std::size_t t = 0; t < count; ++t) body(t);
  }
  // body(t, n, k) for the n tokens from t on, and with the last of them for e^c: k is 1, else 0.
  template <class Body>
  SOFTSTEP_INLINE void in_groups(Body body) const {
    constexpr std::size_t n_groups = (count + lane_group) / lane_group, size = (count + n_groups) / n_groups;
    SOFTSTEP_UNROLL
    for (std::size_t t = 0; t + size <= count; t += size) body(t, Size<size>(), Size<0>());
    body(count / size * size, Size<count % size>(), Size<1>());
  }
};
template <class T>
struct LaneWeights<T, 0> {
  const std::size_t n, stride;
  T* const w;
  SOFTSTEP_INLINE LaneWeights(const LanesArgs<T>& in, std::size_t i)
      : n(in.n_tokens), stride(in.n_lanes), w(in.weights + i) {}
  SOFTSTEP_INLINE Vec<T> get(std::size_t t) const { return Vec<T>::load(w + t * stride); }
  SOFTSTEP_INLINE void set(std::size_t t, Vec<T> x) { x.store(w + t * stride); }
  SOFTSTEP_INLINE void write(const LanesArgs<T>&, std::size_t) const {}
  template <class Body>
  SOFTSTEP_INLINE void each(Body body) const {
    for (std::size_t t = 0; t < n; ++t) body(t);
  }
  template <class Body>
  SOFTSTEP_INLINE void in_groups(Body body) const {
    std::size_t t = 0;
    for (; t + lane_group <= n; t += lane_group) body(t, Size<lane_group>(), Size<0>());
    for (; t < n; ++t) body(t, Size<1>(), Size<0>());
    body(t, Size<0>(), Size<1>());
  }
};

// s_t .. s_(t + count - 1) of one vector of samples, whose token t is at x.
template <std::size_t count, class T, class Weights>
SOFTSTEP_INLINE void lane_scores(const LanesArgs<T>& in, const T* x, const T* v, std::size_t t,
                                 Weights& weights) {
  using V = Vec<T>;
  V s[count];
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < count; ++r) s[r] = V::all(0);
  const std::size_t stride = in.dim * lane_multiple<T>;
  for (std::size_t j = 0; j < in.dim; ++j, x += lane_multiple<T>, v += in.n_lanes) {
    const V projected = V::load(v);
    SOFTSTEP_UNROLL
    for (std::size_t r = 0; r < count; ++r) s[r] = fma(V::load(x + r * stride), projected, s[r]);
  }
  SOFTSTEP_UNROLL
  for (std::size_t r = 0; r < count; ++r) weights.set(t + r, s[r]);
}

// Of all tokens.
template <std::size_t n_tokens, class T>
SOFTSTEP_INLINE void all_lane_scores(const LanesArgs<T>& in, std::size_t i,
                                     LaneWeights<T, n_tokens>& weights) {
  const T *x = lane_tokens(in, i), *v = in.projected + i;
  if constexpr (n_tokens != 0) {
    lane_scores<n_tokens>(in, x, v, 0, weights);
  } else {
    const std::size_t stride = in.dim * lane_multiple<T>;
    std::size_t t = 0;
    for (; t + 4 <= in.n_tokens; t += 4) lane_scores<4>(in, x + t * stride, v, t, weights);
    if (t + 2 <= in.n_tokens) lane_scores<2>(in, x + t * stride, v, t, weights), t += 2;
    if (t < in.n_tokens) lane_scores<1>(in, x + t * stride, v, t, weights);
  }
}

// The rows, and their largest entries.
template <class T, class Weights>
SOFTSTEP_INLINE void lane_row(const LanesArgs<T>& in, std::size_t i, const Weights& weights) {
  Vec<T> largest = Vec<T>::all(0);
  const T* x = lane_tokens(in, i);
  T* g = in.gradient + i;
  const auto go = [&](std::size_t count) SOFTSTEP_LAMBDA_INLINE {
    x += count * lane_multiple<T>;
    g += count * in.n_lanes;
  };
  std::size_t left = in.dim;
  for (; left >= 8; left -= 8, go(8)) largest = lane_gradient<8>(in, x, g, weights, largest);
  if (left >= 4) largest = lane_gradient<4>(in, x, g, weights, largest), left -= 4, go(4);
  if (left >= 2) largest = lane_gradient<2>(in, x, g, weights, largest), left -= 2, go(2);
  if (left >= 1) largest = lane_gradient<1>(in, x, g, weights, largest);
  largest.store(in.largest + i);
}

// c of the largest scores s_a of all and s_c of the tokens in B; `poison` is NaN where a score is no number.
template <class T>
SOFTSTEP_INLINE Vec<T> lane_exponent(Vec<T> s_a, Vec<T> s_c, Vec<T> poison) {
  using V = Vec<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const V none = V::all(-infinity);
  const auto is_empty = equal(s_c, none);
  const V c = select(is_empty, V::all(0), s_c) - s_a + poison;
  // -infinity says that there is no other token; finite scores too far apart for T do not.
  return select(is_empty, none + poison,
                select(equal(c, none), V::all(std::numeric_limits<T>::quiet_NaN()), c));
}

// e^x(t) of every token, for x(t) <= 0, in place of its score; returns e^c.
template <class T, std::size_t n_tokens, class Argument>
SOFTSTEP_INLINE Vec<T> lane_exponentials(LaneWeights<T, n_tokens>& weights, Vec<T> c, Argument x) {
  Vec<T> e_c = c;
  weights.in_groups([&](std::size_t t, auto count, auto with_c) SOFTSTEP_LAMBDA_INLINE {
    Vec<T> e[count.value + with_c.value];
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < count.value; ++k) e[k] = x(t + k);
    if constexpr (with_c.value == 1) e[count.value] = c;
    exp_nonpositive(e);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < count.value; ++k) weights.set(t + k, e[k]);
    if constexpr (with_c.value == 1) e_c = e[count.value];
  });
  return e_c;
}

// What a step of training needs, of lanes that have all tokens.
template <std::size_t n_tokens, class T>
SOFTSTEP_INLINE void one_vector_for_a_step(const LanesArgs<T>& in, std::size_t i) {
  using V = Vec<T>;
  const V zero = V::all(0), one = V::all(1), none = V::all(-std::numeric_limits<T>::infinity());
  constexpr std::size_t group = lane_multiple<T>;
  LaneWeights<T, n_tokens> weights(in, i);
  const T* gaps = in.score_gaps + i / group * in.n_tokens * group + i % group;
  const auto gap_at = [&](std::size_t t) SOFTSTEP_LAMBDA_INLINE { return V::load(gaps + t * group); };
  all_lane_scores(in, i, weights);

  V s_a = none, gap_a = zero, poison = zero;
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V s = weights.get(t);
    gap_a = select(less(s_a, s), gap_at(t), gap_a);
    s_a = max(s_a, s);
    poison = fma(s, zero, poison);
  });
  V s_c = none;
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    s_c = max(s_c, select(equal(gap_at(t), gap_a), none, weights.get(t)));
  });
  const V c = lane_exponent(s_a, s_c, poison), shift_b = select(equal(s_c, none), zero, s_c);

  // Of A with the pivot's own term, which is 1.
  V of_a = zero, rest = zero, moment = zero;
  const V e_c = lane_exponentials<T>(weights, c, [&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    return weights.get(t) - select(equal(gap_at(t), gap_a), s_a, shift_b);
  });
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V gap = gap_at(t), e = weights.get(t);
    const auto in_a = equal(gap, gap_a);
    of_a = of_a + select(in_a, e, zero);
    rest = rest + select(in_a, zero, e);
    moment = fma(e, gap_a - gap, moment);
  });
  const V p_a = one / fma(e_c, rest, of_a), mu = p_a * moment, e_c_mu = e_c * mu;
  gap_a.store(in.pivot + i);
  c.store(in.exponent + i);
  mu.store(in.mean_gap + i);
  e_c_mu.store(in.shifted_gap + i);
  if (in.gradient == nullptr) return;

  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V gap = gap_at(t);
    weights.set(t, p_a * weights.get(t) * (gap_a - gap - select(equal(gap, gap_a), mu, e_c_mu)));
  });
  lane_row(in, i, weights);
}

template <std::size_t n_tokens, class T>
SOFTSTEP_INLINE void one_vector_of_samples(const LanesArgs<T>& in, std::size_t i) {
  using V = Vec<T>;
  const V zero = V::all(0), one = V::all(1), none = V::all(-std::numeric_limits<T>::infinity());
  LaneWeights<T, n_tokens> weights(in, i);
  const auto gap_at = [&](std::size_t t)
                          SOFTSTEP_LAMBDA_INLINE { return V::load(in.score_gaps + t * in.n_lanes + i); };
  all_lane_scores(in, i, weights);

  // Pivot, its gap, and the score of the optimal token. A missing token has the score -infinity from here on.
  const V optimal = V::load(in.optimal + i);
  V s_a = none, a = zero, gap_a = zero, s_optimal = zero, poison = zero, index = zero;
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V gap = gap_at(t), score = weights.get(t);
    const auto present = equal(gap, gap);
    const V s = select(present, score, none);
    weights.set(t, s);
    const V finite = select(present, score, zero);
    poison = fma(finite, zero, poison);  // NaN where a score is not finite
    const auto better = less(s_a, s);
    a = select(better, index, a);
    gap_a = select(better, gap, gap_a);
    s_a = select(better, s, s_a);
    s_optimal = select(equal(index, optimal), finite, s_optimal);
    index = index + one;
  });
  V s_c = none;
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    s_c = max(s_c, select(equal(gap_at(t), gap_a), none, weights.get(t)));
  });
  // A lane without tokens has -infinity for both maxima, whose difference is invalid.
  const V shift_b = select(equal(s_c, none), zero, s_c), c = lane_exponent(s_a, s_c, poison);

  V rest = zero, ties = zero, moment = zero;
  index = zero;
  const V e_c = lane_exponentials<T>(weights, c, [&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    return weights.get(t) - select(equal(gap_at(t), gap_a), s_a, shift_b);
  });
  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V gap = gap_at(t), e = weights.get(t);
    const auto in_a = equal(gap, gap_a);
    rest = rest + select(in_a, zero, e);
    // The pivot's own term is 1 and is added by hand.
    ties = ties + select(equal(index, a), zero, select(in_a, e, zero));
    moment = fma(e, select(equal(gap, gap), gap_a - gap, zero), moment);
    index = index + one;
  });
  const V p_a = one / (one + ties + e_c * rest), mu = p_a * moment, e_c_mu = e_c * mu;
  a.store(in.pivot + i);
  c.store(in.exponent + i);
  p_a.store(in.pivot_attention + i);
  mu.store(in.mean_gap + i);
  rest.store(in.rest + i);
  ties.store(in.ties + i);
  (s_optimal - s_a + poison).store(in.optimal_score + i);
  if (in.shifted_gap != nullptr) e_c_mu.store(in.shifted_gap + i);
  if (in.attention != nullptr) {
    T* p = in.attention + i;
    weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
      const V shift = select(equal(gap_at(t), gap_a), one, e_c);
      (p_a * weights.get(t) * shift).store(p);
      p += in.n_lanes;
    });
  }
  if (in.gradient == nullptr) return;

  weights.each([&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    const V gap = gap_at(t);
    const V d = select(equal(gap, gap_a), zero - mu, select(equal(gap, gap), gap_a - gap - e_c_mu, zero));
    weights.set(t, p_a * weights.get(t) * d);
  });
  weights.write(in, i);
  lane_row(in, i, weights);
}

// One function for each number of tokens, so that the compiler allocates registers for that number alone.
template <std::size_t n_tokens, class T>
__attribute__((noinline)) void vectors_of_samples(const LanesArgs<T>& args) {
  const LanesArgs<T> in = args;  // a copy, which no store can change
  for (std::size_t i = in.begin; i < in.end; i += Vec<T>::width) one_vector_of_samples<n_tokens>(in, i);
}
template <std::size_t n_tokens, class T>
__attribute__((noinline)) void vectors_for_a_step(const LanesArgs<T>& args) {
  const LanesArgs<T> in = args;  // a copy, which no store can change
  for (std::size_t i = in.begin; i < in.end; i += Vec<T>::width) one_vector_for_a_step<n_tokens>(in, i);
}

// 2 to `most` tokens: the code for their number. One token, or more than `most`: the code for any number (0).
template <std::size_t most, class T>
SOFTSTEP_INLINE void vectors_by_tokens(const LanesArgs<T>& in) {
  constexpr std::size_t n_tokens = most < 2 ? 0 : most;
  if constexpr (n_tokens != 0)
    if (in.n_tokens != n_tokens) return vectors_by_tokens<most - 1>(in);
  if (in.optimal == nullptr)
    vectors_for_a_step<n_tokens>(in);
  else
    vectors_of_samples<n_tokens>(in);
}

template <class T>
void attention_lanes(const LanesArgs<T>& in) {
  vectors_by_tokens<8>(in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
