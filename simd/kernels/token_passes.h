#pragma once

// The two passes of the attention kernel over the tokens of a sample: s_t = x_t . v, and g = sum_t r_t x_t.
// row_vectors (simd/vec.h) vectors of a row are held in registers: of the query in the first pass, of the
// gradient in the second.

#include <type_traits>

#include "simd/dispatch.h"
#include "simd/kernels/lane_sums.h"
#include "simd/kernels/tokens.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Fetches rows into the second cache, those of `streams` parts of them in turn: the processor's own
// prefetching of one stream leaves a third of the memory's bandwidth unused (measured with pages of 4 KiB).
struct Fetch {
  static constexpr std::size_t streams = 4, line = 64;
  const char* rows = nullptr;
  std::size_t stride = 0, bytes = 0, n_rows = 0, part = 0;

  Fetch() = default;
  SOFTSTEP_INLINE explicit Fetch(const AheadRows& ahead)
      : rows(static_cast<const char*>(ahead.rows)),
        stride(ahead.stride),
        bytes(ahead.bytes),
        n_rows(ahead.rows == nullptr ? 0 : ahead.n_rows / streams * streams),
        part(n_rows / streams) {}
  // As many rows as are worked on, rows first .. end-1 of these.
  SOFTSTEP_INLINE void operator()(std::size_t first, std::size_t end) const {
    for (std::size_t t = first; t < end && t < n_rows; ++t) {
      const char* row = rows + (t % streams * part + t / streams) * stride;
      for (std::size_t byte = 0; byte < bytes; byte += line) __builtin_prefetch(row + byte, 0, 2);
    }
  }
};

struct NoFetch {};

// Calls body.operator()<n>() for n in 1 .. most.
template <std::size_t most, class Body>
SOFTSTEP_INLINE void by_number(std::size_t n, Body body) {
  if constexpr (most > 1) {
    if (n != most) return by_number<most - 1>(n, body);
  }
  body.template operator()<most>();
}

// Where a row of tokens ends: with the last of the n_vectors vectors in registers, within it, or beyond it.
enum class RowEnd { whole, within, beyond };

// Independent chains of multiply-adds for the score of a row; its vectors are dealt to them in turn.
template <std::size_t n_vectors>
constexpr std::size_t score_chains = n_vectors < 4 ? n_vectors : 4;

// Adds what is left of a row from element j on, fewer than chains - c whole vectors and a part of one. A
// recursion, because clang does not unroll a loop that can end within.
template <std::size_t c, std::size_t chains, class Tokens, class T>
SOFTSTEP_INLINE void add_rest(const typename Tokens::Element* x, const T* query, std::size_t j,
                              std::size_t dim, Vec<T> (&sums)[chains]) {
  using V = Vec<T>;
  if constexpr (c < chains) {
    if (j >= dim) return;
    if (j + V::width > dim) {
      sums[c] = fma(Tokens::load_first(x + j, dim - j), load_part(query + j, dim - j), sums[c]);
      return;
    }
    sums[c] = fma(Tokens::load(x + j), V::load(query + j), sums[c]);
    add_rest<c + 1, chains, Tokens, T>(x, query, j + V::width, dim, sums);
  }
}

// Adds the part of a row x_t that lies beyond the vectors in registers.
template <std::size_t chains, class Tokens, class T>
SOFTSTEP_INLINE void add_beyond(const typename Tokens::Element* x, const T* query, std::size_t dim,
                                Vec<T> (&sums)[chains]) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  static_assert(row_vectors % chains == 0);
  std::size_t j = row_vectors * w;
  for (; j + chains * w <= dim; j += chains * w) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < chains; ++c)
      sums[c] = fma(Tokens::load(x + j + c * w), V::load(query + j + c * w), sums[c]);
  }
  add_rest<0, chains, Tokens, T>(x, query, j, dim, sums);
}

// s_t of all tokens; the first n_vectors vectors of the query are in registers. So nearly all loads are of
// tokens, and the same few instructions do them from row to row. The processor prefetches that pattern best,
// and twice as far as others.
template <std::size_t n_vectors, RowEnd end, class Tokens, class Ahead, class T>
__attribute__((noinline)) void scores_of_rows(const typename Tokens::Element* tokens,
                                              const AttentionArgs<T>& in, Ahead fetch) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width, few = 4;
  const std::size_t dim = in.dim, stride = in.token_stride, last_lanes = dim - (n_vectors - 1) * w;
  const T* query = in.projected_query;
  V v[n_vectors];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < n_vectors; ++k)
    v[k] = end == RowEnd::within && k + 1 == n_vectors ? load_part(query + k * w, last_lanes)
                                                       : V::load(query + k * w);
  const typename Tokens::Element* x = tokens;
  const auto next = [&]() SOFTSTEP_LAMBDA_INLINE {
    constexpr std::size_t chains = score_chains<n_vectors>;
    V sums[chains];
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < n_vectors; ++k) {
      const V token = end == RowEnd::within && k + 1 == n_vectors ? Tokens::load_first(x + k * w, last_lanes)
                                                                  : Tokens::load(x + k * w);
      sums[k % chains] = k < chains ? token * v[k] : fma(token, v[k], sums[k % chains]);
    }
    if constexpr (end == RowEnd::beyond) add_beyond<chains, Tokens>(x, query, dim, sums);
    x += stride;
    SOFTSTEP_UNROLL
    for (std::size_t c = 2; c < chains; ++c) sums[c - 2] = sums[c - 2] + sums[c];
    if constexpr (chains == 1)
      return sums[0];
    else
      return sums[0] + sums[1];
  };
  for (std::size_t t = 0; t < in.n_tokens; t += few) {
    const std::size_t count = in.n_tokens - t < few ? in.n_tokens - t : few;
    if constexpr (std::is_same_v<Ahead, Fetch>) fetch(t, t + count);
    V s[few];
    if (n_vectors < 8 && count == few) {
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < few; ++k) s[k] = next();
    } else {
      SOFTSTEP_ROLL
      for (std::size_t k = 0; k < count; ++k) s[k] = next();
      for (std::size_t k = count; k < few; ++k) s[k] = s[0];
    }
    store_sums(s, in.scores + t, count);
  }
}

template <class Tokens, class Ahead = NoFetch, class T>
SOFTSTEP_INLINE void token_scores(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                                  Ahead fetch = Ahead()) {
  constexpr std::size_t w = Vec<T>::width;
  if (in.dim > row_vectors * w)
    return scores_of_rows<row_vectors, RowEnd::beyond, Tokens, Ahead>(tokens, in, fetch);
  by_number<row_vectors>((in.dim + w - 1) / w, [&]<std::size_t n>() SOFTSTEP_LAMBDA_INLINE {
    if (in.dim < n * w)
      scores_of_rows<n, RowEnd::within, Tokens, Ahead>(tokens, in, fetch);
    else
      scores_of_rows<n, RowEnd::whole, Tokens, Ahead>(tokens, in, fetch);
  });
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
template <std::size_t n_vectors, bool partial, class Tokens, class Ahead, class T>
SOFTSTEP_INLINE void gradient_columns(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                                      std::size_t j, std::size_t last_lanes, Largest<T>& largest,
                                      Ahead fetch) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  // With few vectors in a row one chain would wait for the result of its own last addition: two chains.
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
  const auto add_rows = [&](std::size_t end) SOFTSTEP_LAMBDA_INLINE {
    for (; t + chains <= end; t += chains) {
      SOFTSTEP_UNROLL
      for (std::size_t c = 0; c < chains; ++c) add(t + c, g[c]);
    }
  };
  if constexpr (std::is_same_v<Ahead, Fetch>) {
    constexpr std::size_t together = 8;  // rows between two looks at what is to be fetched
    for (; t + together <= in.n_tokens;) {
      fetch(t, t + together);
      add_rows(t + together);
    }
  }
  add_rows(in.n_tokens);
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
template <class Tokens, class Ahead = NoFetch, class T>
SOFTSTEP_INLINE T gradient_row(const typename Tokens::Element* tokens, const AttentionArgs<T>& in,
                               Ahead fetch = Ahead()) {
  constexpr std::size_t w = Vec<T>::width;
  Largest<T> largest;
  std::size_t j = 0;
  const auto block = [&]<std::size_t n_vectors>() SOFTSTEP_LAMBDA_INLINE {
    const std::size_t columns = in.dim - j;
    const Ahead during = j == 0 ? fetch : Ahead();
    if (columns < n_vectors * w)
      gradient_columns<n_vectors, true, Tokens, Ahead>(tokens, in, j, columns - (n_vectors - 1) * w, largest,
                                                       during);
    else
      gradient_columns<n_vectors, false, Tokens, Ahead>(tokens, in, j, w, largest, during);
    j += n_vectors * w;
  };
  while (j < in.dim) {
    const std::size_t left = (in.dim - j + w - 1) / w;
    by_number<row_vectors>(left < row_vectors ? left : row_vectors, block);
  }
  return largest.value();
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
