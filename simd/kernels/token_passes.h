#pragma once

// The two passes of the attention kernel over the tokens of a sample: s_t = x_t . v, and g = sum_t r_t x_t.

#include "simd/dispatch.h"
#include "simd/kernels/lane_sums.h"
#include "simd/kernels/tokens.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Tokens to one pass over v: their sums over lanes are taken together.
template <class T>
constexpr std::size_t tokens_at_once = Vec<T>::width <= 4 ? 4 : 8;

// Vectors of the gradient row held in registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr std::size_t gradient_vectors = 16;
#else
constexpr std::size_t gradient_vectors = 8;
#endif

// Of the next sample, so many bytes for each byte of this one are fetched while the row is summed: 1/4.
#ifndef SOFTSTEP_FETCH_DIVISOR
#define SOFTSTEP_FETCH_DIVISOR 4
#endif

template <std::size_t n, class Tokens, class T>
SOFTSTEP_INLINE void scores_of(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                               std::size_t t, std::size_t count) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  // Rows past the last token repeat it; their sums are not stored.
  const typename Tokens::Element* x[n];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n; ++k) x[k] = tokens + (t + (k < count ? k : count - 1)) * in.token_stride;
  V s[n];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n; ++k) s[k] = V::all(0);
  std::size_t j = 0;
  for (; j + w <= in.dim; j += w) {
    const V v = V::load(in.projected_query + j);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n; ++k) s[k] = fma(Tokens::load(x[k] + j), v, s[k]);
  }
  if (const std::size_t rest = in.dim - j; rest != 0) {
    const V v = load_part(in.projected_query + j, rest);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n; ++k) s[k] = fma(Tokens::load_first(x[k] + j, rest), v, s[k]);
  }
  store_sums(s, in.scores + t, count);
}

template <class Tokens, class T>
SOFTSTEP_INLINE void token_scores(const typename Tokens::Element* tokens, const AttentionArgs<T>& in) {
  constexpr std::size_t many = tokens_at_once<T>, few = 4;
  std::size_t t = 0;
  for (; t + many <= in.n_tokens; t += many) scores_of<many, Tokens>(tokens, in, t, many);
  for (; t < in.n_tokens; t += few)
    scores_of<few, Tokens>(tokens, in, t, in.n_tokens - t < few ? in.n_tokens - t : few);
}

// The largest |g_j| so far, and NaN once one was.
template <class T>
struct Largest {
  Vec<T> size = Vec<T>::all(0), nan = size;
  SOFTSTEP_INLINE void add(Vec<T> g) {
    size = max(size, max(g, Vec<T>::all(0) - g));
    nan = select(equal(g, g), nan, g);
  }
  SOFTSTEP_INLINE T value() const { return maximum(size) + sum(nan); }
};

struct Fetch {
  const char* at;
  const char* end;
};

// g over n_vectors vectors of columns from column j on, kept in registers; the last has last_lanes lanes.
template <std::size_t n_vectors, bool partial, class Tokens, class T>
SOFTSTEP_INLINE void gradient_columns(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                                      std::size_t j, std::size_t last_lanes, Largest<T>& largest,
                                      Fetch& next) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  // Two chains where one would wait for its own additions.
  constexpr std::size_t chains = n_vectors <= 2 ? 2 : 1;
  constexpr std::size_t line = 64;
  constexpr std::size_t lines =
      (n_vectors * w * sizeof(typename Tokens::Element)) / line / SOFTSTEP_FETCH_DIVISOR;
  V g[chains][n_vectors];
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c < chains; ++c) {
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_vectors; ++k) g[c][k] = V::all(0);
  }
  const typename Tokens::Element* x = tokens + j;
  const auto add = [&](std::size_t t, V(&to)[n_vectors]) SOFTSTEP_LAMBDA_INLINE {
    const V r = V::all(in.weights[t]);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_vectors; ++k)
      to[k] = fma(
          partial && k + 1 == n_vectors ? Tokens::load_first(x + k * w, last_lanes) : Tokens::load(x + k * w),
          r, to[k]);
    x += in.token_stride;
    if constexpr (lines != 0) {
      if (next.at < next.end) {
        SOFTSTEP_UNROLL
        for (std::size_t q = 0; q < lines; ++q) __builtin_prefetch(next.at + q * line, 0, 2);
        next.at += lines * line;
      }
    }
  };
  std::size_t t = 0;
  for (; t + chains <= in.n_tokens; t += chains) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < chains; ++c) add(t + c, g[c]);
  }
  if (t < in.n_tokens) add(t, g[0]);
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n_vectors; ++k) {
    const V sum = chains == 2 ? g[0][k] + g[chains - 1][k] : g[0][k];
    if (partial && k + 1 == n_vectors) {
      const V part = sum;
      largest.add(part);
      store_part(part, in.gradient + j + k * w, last_lanes);
    } else {
      largest.add(sum);
      sum.store(in.gradient + j + k * w);
    }
  }
}

// Returns max_j |g_j|.
template <class Tokens, class T>
SOFTSTEP_INLINE T gradient_row(const typename Tokens::Element* tokens, const AttentionArgs<T>& in) {
  constexpr std::size_t w = Vec<T>::width;
  Largest<T> largest;
  const char* start = static_cast<const char*>(in.next);
  Fetch next{start, start + (start == nullptr ? 0 : in.next_bytes)};
  std::size_t j = 0;
  const auto whole = [&]<std::size_t n_vectors>() SOFTSTEP_LAMBDA_INLINE {
    for (; j + n_vectors * w <= in.dim; j += n_vectors * w)
      gradient_columns<n_vectors, false, Tokens>(tokens, in, j, w, largest, next);
  };
  if constexpr (gradient_vectors > 8) whole.template operator()<gradient_vectors>();
  whole.template operator()<8>();
  whole.template operator()<4>();
  whole.template operator()<2>();
  whole.template operator()<1>();
  if (j < in.dim) gradient_columns<1, true, Tokens>(tokens, in, j, in.dim - j, largest, next);
  return largest.value();
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
