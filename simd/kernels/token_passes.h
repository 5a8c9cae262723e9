#pragma once

// The two passes of the attention kernel over the tokens of a sample: s_t = x_t . v, and g = sum_t r_t x_t.

#include "simd/dispatch.h"
#include "simd/kernels/lane_sums.h"
#include "simd/kernels/tokens.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Vectors of the gradient row held in registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr std::size_t gradient_vectors = 16;
#else
constexpr std::size_t gradient_vectors = 8;
#endif

// Chains of multiply-adds for each score, whatever the order of the rows.
constexpr std::size_t score_chains = 2;
// Rows up to here (bytes) are always read four at once: together they are a few cache lines.
constexpr std::size_t short_row = 128;

// The products of n rows with v, summed over vectors in `score_chains` chains for each row, whatever n; s is
// their sum.
template <std::size_t n, class Tokens, class T>
SOFTSTEP_INLINE void row_sums(const typename Tokens::Element* x, const AttentionArgs<T>& in, Vec<T>* s) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width, chains = score_chains;
  V sums[chains][n];
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c < chains; ++c) {
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n; ++k) sums[c][k] = V::all(0);
  }
  std::size_t j = 0;
  for (; j + chains * w <= in.dim; j += chains * w) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < chains; ++c) {
      const V v = V::load(in.projected_query + j + c * w);
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < n; ++k)
        sums[c][k] = fma(Tokens::load(x + k * in.token_stride + j + c * w), v, sums[c][k]);
    }
  }
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c + 1 < chains; ++c) {
    if (j + w > in.dim) break;
    const V v = V::load(in.projected_query + j);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n; ++k)
      sums[c][k] = fma(Tokens::load(x + k * in.token_stride + j), v, sums[c][k]);
    j += w;
  }
  if (const std::size_t rest = in.dim - j; rest != 0) {
    const V v = load_part(in.projected_query + j, rest);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n; ++k)
      sums[chains - 1][k] =
          fma(Tokens::load_first(x + k * in.token_stride + j, rest), v, sums[chains - 1][k]);
  }
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n; ++k) s[k] = sums[0][k] + sums[1][k];
}

// Four tokens to one pass over v where they come from cache. From memory one after the other: the processor then
// sees one stream and fetches ahead, at twice the rate.
template <class Tokens, class T>
SOFTSTEP_INLINE void token_scores(const typename Tokens::Element* tokens, const AttentionArgs<T>& in) {
  constexpr std::size_t few = 4;
  const bool one_by_one = !in.in_cache && in.dim * sizeof(*tokens) > short_row;
  for (std::size_t t = 0; t < in.n_tokens; t += few) {
    const typename Tokens::Element* x = tokens + t * in.token_stride;
    const std::size_t count = in.n_tokens - t < few ? in.n_tokens - t : few;
    Vec<T> s[few];
    if (one_by_one || count < few) {
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < few; ++k) {
        if (k < count)
          row_sums<1, Tokens>(x + k * in.token_stride, in, s + k);
        else
          s[k] = s[0];
      }
    } else {
      row_sums<few, Tokens>(x, in, s);
    }
    store_sums(s, in.scores + t, count);
  }
}

// The largest |g_j| so far, and NaN once one was.
template <class T>
struct Largest {
  Vec<T> size = Vec<T>::all(0), nan = size;
  SOFTSTEP_INLINE void add(Vec<T> g) {
    size = max(size, absolute(g));
    nan = select(equal(g, g), nan, g);
  }
  SOFTSTEP_INLINE T value() const { return maximum(size) + sum(nan); }
};

// g over n_vectors vectors of columns from column j on, kept in registers; the last has last_lanes lanes.
template <std::size_t n_vectors, bool partial, class Tokens, class T>
SOFTSTEP_INLINE void gradient_columns(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                                      std::size_t j, std::size_t last_lanes, Largest<T>& largest) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  // Two chains where one would wait for its own additions.
  constexpr std::size_t chains = n_vectors <= 2 ? 2 : 1;
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
  std::size_t j = 0;
  const auto block = [&]<std::size_t n_vectors>() SOFTSTEP_LAMBDA_INLINE {
    const std::size_t columns = in.dim - j;
    if (columns < n_vectors * w)
      gradient_columns<n_vectors, true, Tokens>(tokens, in, j, columns - (n_vectors - 1) * w, largest);
    else
      gradient_columns<n_vectors, false, Tokens>(tokens, in, j, w, largest);
    j += n_vectors * w;
  };
  while (j < in.dim) {
    const std::size_t left = (in.dim - j + w - 1) / w;
    if (left >= gradient_vectors)
      block.template operator()<gradient_vectors>();
    else if (left >= 8)
      block.template operator()<8>();
    else if (left == 7)
      block.template operator()<7>();
    else if (left == 6)
      block.template operator()<6>();
    else if (left == 5)
      block.template operator()<5>();
    else if (left == 4)
      block.template operator()<4>();
    else if (left == 3)
      block.template operator()<3>();
    else if (left == 2)
      block.template operator()<2>();
    else
      block.template operator()<1>();
  }
  return largest.value();
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
