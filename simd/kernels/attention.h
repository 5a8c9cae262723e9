#pragma once

// One sample of the attention layer, forward and backward in one visit: scores, pivot softmax, gap and
// gradient row.
//
//   s_t = x_t . v         a = argmax_t s_t         D_t = gamma_t - gamma_a = gap_a - gap_t
//   A = {t : D_t = 0}, the pivot and its exact ties in token score;  B = the others
//   c = max_{t in B} s_t - s_a
//   e_t = exp(s_t - s_c) in B,  w_t = exp(s_t - s_a) in A            (all in (0, 1])
//   E = sum_B e_t         p_a = 1 / (sum_A w_t + e^c E)              mu = p_a sum_B e_t D_t
//   r_t / e^c = p_a e_t (D_t - e^c mu) in B,  -p_a w_t mu in A       g / e^c = sum_t (r_t / e^c) x_t
//
// The loss derivative l'(m) is a factor of the whole row and is applied by the caller with e^(c_i - C).
// Taking A out of the shift keeps the row right when another token ties with the optimal one and outlives all
// the others.
//
// Shapes: AttentionArgs (simd/dispatch.h); any strides and alignment; outputs must not overlap inputs.
//
// Traffic: X_i is read from memory once (the second pass finds it in cache), v, gaps; writes d + 2 T
// elements.
//
// Error of the scores: |s_t - exact| <= d u sum_j |x_tj v_j|. Of the row, given the scores:
//   |g - exact| <= (16 T + 30) u sum_t a_t |x_t|,  a_t = |r_t| with each of its terms in absolute value and
// times 1 + |its exponent|; derived in core/reference/error_bounds.h, held by tests/simd/test_attention.cpp.
//
// Special values: T = 1 or B empty: c = -infinity and a zero row. A score that is not finite, or a difference
// of scores that overflows, gives NaN.
//
// Source: arXiv 2402.05738, eq. of the gradient; pivot form in mathematics of this project.

#include "simd/dispatch.h"
#include "simd/exp.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// s_t = x_t . v, four tokens to one pass over v.
template <class T>
SOFTSTEP_INLINE void scores_of(const AttentionArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const std::size_t whole = in.dim / w * w, rest = in.dim - whole;
  std::size_t t = 0;
  for (; t + 4 <= in.n_tokens; t += 4) {
    const T* x0 = in.tokens + t * in.token_stride;
    const T* x1 = x0 + in.token_stride;
    const T* x2 = x1 + in.token_stride;
    const T* x3 = x2 + in.token_stride;
    V s0 = V::all(0), s1 = s0, s2 = s0, s3 = s0;
    for (std::size_t j = 0; j < whole; j += w) {
      const V v = V::load(in.projected_query + j);
      s0 = fma(V::load(x0 + j), v, s0);
      s1 = fma(V::load(x1 + j), v, s1);
      s2 = fma(V::load(x2 + j), v, s2);
      s3 = fma(V::load(x3 + j), v, s3);
    }
    if (rest != 0) {
      const V v = load_part(in.projected_query + whole, rest);
      s0 = fma(load_part(x0 + whole, rest), v, s0);
      s1 = fma(load_part(x1 + whole, rest), v, s1);
      s2 = fma(load_part(x2 + whole, rest), v, s2);
      s3 = fma(load_part(x3 + whole, rest), v, s3);
    }
    in.scores[t] = sum(s0);
    in.scores[t + 1] = sum(s1);
    in.scores[t + 2] = sum(s2);
    in.scores[t + 3] = sum(s3);
  }
  for (; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.token_stride;
    V s = V::all(0);
    for (std::size_t j = 0; j < whole; j += w) s = fma(V::load(x + j), V::load(in.projected_query + j), s);
    if (rest != 0) s = fma(load_part(x + whole, rest), load_part(in.projected_query + whole, rest), s);
    in.scores[t] = sum(s);
  }
}

// g = sum_t r_t x_t over `n_vectors` vectors of columns from column j on, kept in registers.
template <std::size_t n_vectors, class T>
SOFTSTEP_INLINE void gradient_columns(const AttentionArgs<T>& in, std::size_t j) {
  using V = Vec<T>;
  V g[n_vectors];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n_vectors; ++k) g[k] = V::all(0);
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.token_stride + j;
    const V r = V::all(in.weights[t]);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_vectors; ++k) g[k] = fma(V::load(x + k * V::width), r, g[k]);
  }
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n_vectors; ++k) g[k].store(in.gradient + j + k * V::width);
}

template <class T>
SOFTSTEP_INLINE void gradient_row(const AttentionArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  std::size_t j = 0;
  for (; j + 4 * w <= in.dim; j += 4 * w) gradient_columns<4>(in, j);
  for (; j + w <= in.dim; j += w) gradient_columns<1>(in, j);
  if (const std::size_t rest = in.dim - j; rest != 0) {
    V g = V::all(0);
    for (std::size_t t = 0; t < in.n_tokens; ++t)
      g = fma(load_part(in.tokens + t * in.token_stride + j, rest), V::all(in.weights[t]), g);
    store_part(g, in.gradient + j, rest);
  }
}

// Calls body(vector of p, vector of q, t, count) for all n entries; past the end p is `p_fill` and q is 0.
template <class T, class Body>
SOFTSTEP_INLINE void for_each_vector(const T* p, const T* q, std::size_t n, T p_fill, Body body) {
  constexpr std::size_t w = Vec<T>::width;
  std::size_t t = 0;
  for (; t + w <= n; t += w) body(Vec<T>::load(p + t), Vec<T>::load(q + t), t, w);
  if (t < n) body(load_part(p + t, n - t, p_fill), load_part(q + t, n - t), t, n - t);
}

template <class T>
SOFTSTEP_INLINE void store_count(Vec<T> a, T* p, std::size_t count) {
  if (count == Vec<T>::width)
    a.store(p);
  else
    store_part(a, p, count);
}

template <class T>
AttentionStats<T> attention(const AttentionArgs<T>& in) {
  using V = Vec<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T lowest = std::numeric_limits<T>::lowest(), nan = std::numeric_limits<T>::quiet_NaN();
  const std::size_t n = in.n_tokens;
  const V zero = V::all(0);

  if (in.tokens != nullptr) scores_of(in);
  V best = V::all(lowest), not_finite = zero;
  for_each_vector(in.scores, in.score_gaps, n, lowest,
                  [&](V s, V, std::size_t, std::size_t) SOFTSTEP_LAMBDA_INLINE {
                    best = max(best, s);
                    not_finite = fma(s, zero, not_finite);
                  });
  // 0, or NaN where a score is not finite: max and the differences below may lose it.
  const T poison = sum(not_finite);
  const T s_a = maximum(best);
  std::size_t a = 0;
  while (a + 1 < n && !(in.scores[a] == s_a)) ++a;

  AttentionStats<T> out;
  out.pivot = a;
  out.optimal_score = in.scores[in.optimal] - s_a + poison;
  // The pivot's own term is 1 and is added by hand: with a score of -infinity it drops out of every sum
  // below.
  in.scores[a] = -infinity;
  const V gap_a = V::all(in.score_gaps[a]);
  V next = V::all(-infinity);
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V gap, std::size_t, std::size_t) SOFTSTEP_LAMBDA_INLINE {
                    next = max(next, select(equal(gap, gap_a), V::all(-infinity), s));
                  });
  const T s_c = maximum(next);
  out.exponent = s_c - s_a + poison;
  // -infinity says that B is empty; finite scores too far apart for T do not.
  if (s_c != -infinity && out.exponent == -infinity) out.exponent = nan;
  const V shift_b = V::all(s_c == -infinity ? T(0) : s_c), shift_a = V::all(s_a);
  V rest = zero, ties = zero, moment = zero;
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    const auto in_a = equal(gap, gap_a);
                    const V e = exp_nonpositive(s - select(in_a, shift_a, shift_b));
                    rest = rest + select(in_a, zero, e);
                    ties = ties + select(in_a, e, zero);
                    moment = fma(e, gap_a - gap, moment);
                    store_count(e, in.weights + t, count);
                  });
  in.scores[a] = s_a;
  in.weights[a] = T(1);
  T shift[V::width];
  exp_nonpositive(V::all(out.exponent)).store(shift);
  const T e_c = shift[0];
  out.rest = sum(rest);
  out.ties = sum(ties);
  out.pivot_attention = T(1) / (T(1) + out.ties + e_c * out.rest);
  out.mean_gap = out.pivot_attention * sum(moment);
  if (in.gradient == nullptr && in.tokens != nullptr) return out;

  const V p_a = V::all(out.pivot_attention), mu = V::all(out.mean_gap), e_c_mu = V::all(e_c * out.mean_gap);
  for_each_vector(in.weights, in.score_gaps, n, T(0),
                  [&](V e, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    const V d = select(equal(gap, gap_a), zero - mu, gap_a - gap - e_c_mu);
                    store_count(p_a * e * d, in.weights + t, count);
                  });
  if (in.tokens != nullptr) gradient_row(in);
  return out;
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
