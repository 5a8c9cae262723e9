#pragma once

// One block of keys in the softmax of many queries: scores become weights, and what is known of each row goes
// on from block to block. In pivot form (docs/mathematics.md, section 11.1): the key with the largest score,
// the pivot, is left out of the sums, and the others are measured by the largest score beside it,
//
//   e_j = e^(s_j - second)     E = sum_{j != a} e_j     c = second - top     p_a = 1 / (1 + e^c E)
//
// so that E and the sums of values with e_j keep all their digits however far the pivot is ahead. `top` and
// `second` only rise. Where `second` has risen, earlier sums are to be multiplied by `decay`; where the pivot
// has changed, the former one joins the rest with `former_weight`. The first of equal scores is the pivot.
//
// A score of -infinity is that of a hidden key. NaN goes into `rest`, and so does what two scores of
// +infinity make; one is a pivot like any other. A row that has seen no key keeps top = second = -infinity.
// Nothing beyond n_keys of a row is read or written.
//
// Error (tests/simd/test_softmax_blocks.cpp): e_j, decay and former_weight within 1.5 ULP of exp of the
// rounded difference, whose rounding is u |s_j - second|; below the smallest normal number 0 or the rounded
// result. The block's sum over n numbers within r(n) u of itself, r(n) = ceil(n / 4 lanes) + 3 + log2(lanes).
// E after B blocks of at most n keys within u sum_j e_j (|s_j - second| + 3 + 6 B + r(n)): each block takes
// one multiplication by `decay`, which has 3 u, and two sums.
// Traffic: reads the scores twice from the first cache, writes the weights once.

#include "simd/dispatch.h"
#include "simd/exp.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
constexpr T hidden_score = -std::numeric_limits<T>::infinity();

template <class T>
SOFTSTEP_INLINE T exp_of_one(T x) {
  T lanes[Vec<T>::width];
  exp_nonpositive(Vec<T>::all(x)).store(lanes);
  return lanes[0];
}

template <class T>
SOFTSTEP_INLINE T largest_score(const T* s, std::size_t n) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width, chains = 4;
  V best[chains];
  SOFTSTEP_UNROLL
  for (std::size_t c = 0; c < chains; ++c) best[c] = V::all(hidden_score<T>);
  std::size_t j = 0;
  for (; j + chains * w <= n; j += chains * w) {
    SOFTSTEP_UNROLL
    for (std::size_t c = 0; c < chains; ++c) best[c] = max(best[c], V::load(s + j + c * w));
  }
  for (; j + w <= n; j += w) best[0] = max(best[0], V::load(s + j));
  if (j < n) best[1] = max(best[1], load_part(s + j, n - j, hidden_score<T>));
  return maximum(max(max(best[0], best[1]), max(best[2], best[3])));
}

// s_j becomes e^(s_j - second); returns their sum.
template <class T>
SOFTSTEP_INLINE T weigh_scores(T* s, std::size_t n, T second) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V reference = V::all(second);
  constexpr std::size_t together = 4;
  V sums[together];
  SOFTSTEP_UNROLL
  for (std::size_t k = 0; k < together; ++k) sums[k] = V::all(0);
  std::size_t j = 0;
  for (; j + together * w <= n; j += together * w) {
    V e[together];
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < together; ++k) e[k] = V::load(s + j + k * w) - reference;
    exp_nonpositive(e);
    SOFTSTEP_UNROLL
    for (std::size_t k = 0; k < together; ++k) {
      e[k].store(s + j + k * w);
      sums[k] = sums[k] + e[k];
    }
  }
  for (; j + w <= n; j += w) {
    const V e = exp_nonpositive(V::load(s + j) - reference);
    e.store(s + j);
    sums[0] = sums[0] + e;
  }
  if (j < n) {
    const V e = exp_nonpositive(load_part(s + j, n - j, hidden_score<T>) - reference);
    store_part(e, s + j, n - j);
    sums[1] = sums[1] + e;
  }
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
SOFTSTEP_INLINE void clear_numbers(T* x, std::size_t n) {
  constexpr std::size_t w = Vec<T>::width;
  std::size_t j = 0;
  for (; j + w <= n; j += w) Vec<T>::all(0).store(x + j);
  if (j < n) store_part(Vec<T>::all(0), x + j, n - j);
}

// Scores of hidden keys become 0; returns 0, or NaN where one is.
template <class T>
SOFTSTEP_INLINE T weigh_hidden(T* s, std::size_t n) {
  T sum = 0;
  for (std::size_t j = 0; j < n; ++j) sum += s[j] = s[j] == s[j] ? T(0) : s[j];
  return sum;
}

// The block holds a score above `second`: top, second and pivot move.
template <class T>
SOFTSTEP_INLINE void raise_row(const SoftmaxRowsArgs<T>& in, std::size_t r, T* s, std::size_t n,
                               std::size_t first, T largest) {
  const T before = in.second[r];
  T second = largest;
  if (largest > in.top[r]) {
    const std::size_t place = first_equal(s, n, largest);
    s[place] = hidden_score<T>;
    const T next = largest_score(s, n);
    second = in.top[r] > next ? in.top[r] : next;
    in.former[r] = in.pivot[r];
    if (in.top[r] > hidden_score<T>) in.former_weight[r] = exp_of_one(in.top[r] - second);
    in.top[r] = largest;
    in.pivot[r] = first + place;
  }
  in.second[r] = second;
  in.decay[r] = before > hidden_score<T> ? exp_of_one(before - second) : T(0);
}

template <class T>
void softmax_rows(const SoftmaxRowsArgs<T>& in) {
  for (std::size_t r = 0; r < in.n_rows; ++r) {
    T* row = in.scores + r * in.ld;
    const std::size_t begin = in.begin ? in.begin[r] : 0, end = in.end ? in.end[r] : in.n_keys;
    in.decay[r] = T(1);
    in.former_weight[r] = T(0);
    if (!(begin < end)) {
      clear_numbers(row, in.n_keys);
      continue;
    }
    if (begin != 0) clear_numbers(row, begin);
    if (end != in.n_keys) clear_numbers(row + end, in.n_keys - end);
    T* s = row + begin;
    const std::size_t n = end - begin;
    const T largest = largest_score(s, n);
    if (largest > in.second[r]) raise_row(in, r, s, n, in.first_key + begin, largest);
    const T sum = in.second[r] > hidden_score<T> ? weigh_scores(s, n, in.second[r]) : weigh_hidden(s, n);
    in.rest[r] = in.rest[r] * in.decay[r] + in.former_weight[r] + sum;
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
