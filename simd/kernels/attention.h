#pragma once

// Samples of the attention layer, forward and backward in one visit: scores, pivot softmax, gap and gradient
// row of each. The bits of a sample do not depend on its neighbours.
//
//   s_t = x_t . v         a = argmax_t s_t         D_t = gamma_t - gamma_a = gap_a - gap_t
//   A = {t : D_t = 0}, the pivot and its exact ties in token score;  B = the others
//   c = max_{t in B} s_t - s_a
//   e_t = exp(s_t - s_c) in B,  w_t = exp(s_t - s_a) in A            (all in (0, 1])
//   E = sum_B e_t         p_a = 1 / (sum_A w_t + e^c E)              mu = p_a sum_B e_t D_t
//   r_t / e^c = p_a e_t (D_t - e^c mu) in B,  -p_a w_t mu in A       g / e^c = sum_t (r_t / e^c) x_t
//
// The loss derivative l'(m) is a factor of the whole row and is applied by the caller with e^(c_i - C).
// Tokens of A have no part in mu, because their D_t is 0, so they must not set the exponent c either: all of
// B may underflow against them (docs/mathematics.md, section 2.4).
//
// Shapes: AttentionArgs (simd/dispatch.h); any strides and alignment; outputs must not overlap inputs. Tokens
// may be stored in 16 bits where T = float (tokens.h): the bounds below hold for the stored numbers.
//
// Traffic: X_i is read from memory once (the second pass finds it in cache), v, gaps; writes d + 2 T
// elements.
//
// Error of the scores: |s_t - exact| <= d u sum_j |x_tj v_j|, in whatever order: a product is rounded once,
// and of the additions it goes through at most d - 1 have two terms that are not zero. Of the row, given the
// scores:
//   |g - exact| <= (16 T + 30) u sum_t a_t |x_t|,  a_t = |r_t| with each of its terms in absolute value and
// times 1 + |its exponent|; derived in core/reference/error_bounds.h, held by tests/simd/test_attention.cpp.
//
// Special values: T = 1 or B empty: c = -infinity and a zero row. A score that is not finite, or a difference
// of scores that overflows, gives NaN.
//
// Source: arXiv 2402.05738, equation of the gradient; the pivot form is derived in docs/mathematics.md,
// section 2.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/lane_sums.h"
#include "simd/kernels/token_passes.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Calls body(vector of scores, vector of gaps, t, count) for all n tokens; past the end the score is `fill`
// and the gap 0.
template <class T, class Body>
SOFTSTEP_INLINE void for_each_vector(const T* scores, const T* gaps, std::size_t n, T fill, Body body) {
  constexpr std::size_t w = Vec<T>::width;
  std::size_t t = 0;
  for (; t + w <= n; t += w) body(Vec<T>::load(scores + t), Vec<T>::load(gaps + t), t, w);
  if (t < n) body(load_part(scores + t, n - t, fill), load_part(gaps + t, n - t), t, n - t);
}

template <class T>
SOFTSTEP_INLINE void store_count(Vec<T> a, T* p, std::size_t count) {
  if (count == Vec<T>::width)
    a.store(p);
  else
    store_part_to_load(a, p, count);
}

// Scores to statistics and to the weights e_t in B, w_t in A.
template <class T>
SOFTSTEP_INLINE AttentionStats<T> pivot_softmax(const AttentionArgs<T>& in, T& e_c) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T lowest = std::numeric_limits<T>::lowest(), nan = std::numeric_limits<T>::quiet_NaN();
  const std::size_t n = in.n_tokens;
  const V zero = V::all(0), no_score = V::all(-infinity);
  V best = V::all(lowest), not_finite = zero;
  for_each_vector(in.scores, in.score_gaps, n, lowest,
                  [&](V s, V, std::size_t, std::size_t) SOFTSTEP_LAMBDA_INLINE {
                    best = max(best, s);
                    not_finite = fma(s, zero, not_finite);
                  });
  const T s_a = maximum(best);
  const std::size_t a = first_equal(in.scores, n, s_a);
  // The pivot's own term is 1 and is added by hand: with a score of -infinity it drops out of every sum
  // below.
  const std::size_t pivot_vector = a / w * w;
  const V lanes = lane_numbers<T>();
  // By way of int: for an unsigned 64-bit number clang makes a double with arithmetic on whole vectors, which
  // the scalar row must not have.
  const int pivot_lane = static_cast<int>(a - pivot_vector);
  const auto is_pivot = [&](std::size_t t) SOFTSTEP_LAMBDA_INLINE {
    return equal(lanes, V::all(t == pivot_vector ? static_cast<T>(pivot_lane) : T(-1)));
  };
  const V gap_a = V::all(in.score_gaps[a]);
  V next = no_score;
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V gap, std::size_t, std::size_t)
                      SOFTSTEP_LAMBDA_INLINE { next = max(next, select(equal(gap, gap_a), no_score, s)); });
  const T s_c = maximum(next);
  T exponent = s_c - s_a;
  // -infinity says that B is empty; finite scores too far apart for T do not.
  if (s_c != -infinity && exponent == -infinity) exponent = nan;
  T shift[w];
  exp_nonpositive(V::all(exponent)).store(shift);

  const V shift_b = V::all(s_c == -infinity ? T(0) : s_c), shift_a = V::all(s_a), one = V::all(T(1));
  V sums[4] = {zero, zero, zero, not_finite};  // E, ties, sum e_t D_t
  for_each_vector(in.scores, in.score_gaps, n, -infinity,
                  [&](V s, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    const auto in_a = equal(gap, gap_a);
                    const auto pivot = is_pivot(t);
                    const V e = exp_nonpositive(select(pivot, no_score, s) - select(in_a, shift_a, shift_b));
                    sums[0] = sums[0] + select(in_a, zero, e);
                    sums[1] = sums[1] + select(in_a, e, zero);
                    sums[2] = fma(e, gap_a - gap, sums[2]);
                    store_count(select(pivot, one, e), in.weights + t, count);
                  });
  T totals[4];
  store_sums(sums, totals, 4);
  // 0, or NaN where a score is not finite: maximum and differences may have lost it.
  const T poison = totals[3];
  e_c = shift[0] + poison;
  AttentionStats<T> out;
  out.pivot = a;
  out.exponent = exponent + poison;
  out.rest = totals[0];
  out.ties = totals[1];
  out.pivot_attention = T(1) / (T(1) + out.ties + e_c * out.rest);
  out.mean_gap = out.pivot_attention * totals[2];
  out.optimal_score = in.scores[in.optimal] - s_a + poison;
  out.largest = T(0);
  return out;
}

// e_t to r_t / e^c without l'.
template <class T>
SOFTSTEP_INLINE void row_weights(const AttentionArgs<T>& in, const AttentionStats<T>& stats, T e_c) {
  using V = Vec<T>;
  const V gap_a = V::all(in.score_gaps[stats.pivot]), zero = V::all(0);
  const V p_a = V::all(stats.pivot_attention), mu = V::all(stats.mean_gap),
          e_c_mu = V::all(e_c * stats.mean_gap);
  for_each_vector(in.weights, in.score_gaps, in.n_tokens, T(0),
                  [&](V e, V gap, std::size_t t, std::size_t count) SOFTSTEP_LAMBDA_INLINE {
                    const V d = select(equal(gap, gap_a), zero - mu, gap_a - gap - e_c_mu);
                    store_count(p_a * e * d, in.weights + t, count);
                  });
}

// Calls first, second, third with each index below n. Samples that fit into the first cache are interleaved:
// maxima, sums and quotient of one sample depend on each other, and the processor works on the other sample
// while they wait.
template <class T, class First, class Second, class Third>
SOFTSTEP_INLINE void in_turn(const AttentionArgs<T>* samples, std::size_t n, First first, Second second,
                             Third third) {
  constexpr std::size_t small = std::size_t{1} << 14;  // bytes
  for (std::size_t i = 0; i < n;) {
    const bool alone = samples[i].n_tokens * samples[i].dim * sizeof(T) > small;
    const std::size_t most = alone ? 1 : attention_together, end = n - i < most ? n : i + most;
    for (std::size_t k = i; k < end; ++k) first(k);
    for (std::size_t k = i; k < end; ++k) second(k);
    for (std::size_t k = i; k < end; ++k) third(k);
    i = end;
  }
}

template <class Tokens, class T, class At>
SOFTSTEP_INLINE void attention_of(const AttentionArgs<T>* samples, std::size_t n, AttentionStats<T>* stats,
                                  At tokens) {
  in_turn(
      samples, n,
      [&](std::size_t k) SOFTSTEP_LAMBDA_INLINE {
        if (tokens(k) != nullptr) token_scores<Tokens>(tokens(k), samples[k]);
      },
      [&](std::size_t k) SOFTSTEP_LAMBDA_INLINE {
        const AttentionArgs<T>& in = samples[k];
        T e_c;
        stats[k] = pivot_softmax(in, e_c);
        if (in.gradient != nullptr || tokens(k) == nullptr) row_weights(in, stats[k], e_c);
      },
      [&](std::size_t k) SOFTSTEP_LAMBDA_INLINE {
        if (samples[k].gradient != nullptr && tokens(k) != nullptr)
          stats[k].largest = gradient_row<Tokens>(tokens(k), samples[k]);
      });
}

template <class T>
void attention(const AttentionArgs<T>* samples, std::size_t n, AttentionStats<T>* stats) {
  if constexpr (sizeof(T) == sizeof(float)) {
    const auto halves = [=](std::size_t k) SOFTSTEP_LAMBDA_INLINE { return samples[k].half_tokens; };
    if (n != 0 && samples[0].storage == StoredType::f16)
      return attention_of<F16Tokens>(samples, n, stats, halves);
    if (n != 0 && samples[0].storage == StoredType::bf16)
      return attention_of<Bf16Tokens>(samples, n, stats, halves);
  }
  attention_of<WorkingTokens<T>>(samples, n, stats,
                                 [=](std::size_t k) SOFTSTEP_LAMBDA_INLINE { return samples[k].tokens; });
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
