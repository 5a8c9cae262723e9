#pragma once

// One block of keys in the backward pass of softmax attention: scores and slopes D_j = dO . v_j become the
// gradient by the scores, over e^c, and the attention (docs/mathematics.md, section 11.2):
//
//   e_j = e^(s_j - second)      p_j = (p_a e^c) e_j     ds_j e^-c = (p_a e_j) (D_j - delta)       j != a
//                               p_a                     ds_a e^-c = -p_a mu, given                pivot
//
// Where a row is hidden from a key both are 0. NaN stays, also in a row whose other scores are all -infinity.
// Nothing beyond n_keys of a row is read or written.
// Error, given what is known of the row: ds_j e^-c within (|s_j - second| + 6) u of itself, p_j within
// (|s_j - second| + 4) u. The difference of scores is rounded once, exp has 3 u, the difference of slopes and
// each product one rounding. Below the smallest normal number e_j may be 0
// (tests/simd/test_softmax_gradient.cpp).
// Traffic: reads and writes both blocks once, in the near caches.

#include "simd/dispatch.h"
#include "simd/exp.h"
#include "simd/kernels/softmax_rows.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void softmax_gradient(const SoftmaxGradientArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  for (std::size_t r = 0; r < in.n_rows; ++r) {
    T *scores = in.scores + r * in.ld, *slopes = in.slopes + r * in.ld;
    std::size_t begin = in.begin ? in.begin[r] : 0, end = in.end ? in.end[r] : in.n_keys;
    if (!(begin < end)) begin = end = 0;
    clear_numbers(scores, begin);
    clear_numbers(slopes, begin);
    clear_numbers(scores + end, in.n_keys - end);
    clear_numbers(slopes + end, in.n_keys - end);
    // A row with one key, or none, has no rest.
    if (in.second[r] == hidden_score<T>) {
      weigh_hidden(scores + begin, end - begin);
      for (; begin < end; ++begin) slopes[begin] = scores[begin];
    }
    const V second = V::all(in.second[r]), delta = V::all(in.mean_slope[r]),
            pivot_attention = V::all(in.pivot_attention[r]), rest_attention = V::all(in.rest_attention[r]),
            zero = V::all(0);
    // The pivot's own score may lie above `second`, where exp is not meant to be taken.
    const auto below = [&](V score) SOFTSTEP_LAMBDA_INLINE {
      const V x = score - second;
      return select(less(zero, x), zero, x);
    };
    constexpr std::size_t together = 4;
    std::size_t j = begin;
    const auto next = [&]<std::size_t n>() SOFTSTEP_LAMBDA_INLINE {
      V e[n];
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < n; ++k) e[k] = below(V::load(scores + j + k * w));
      exp_nonpositive(e);
      SOFTSTEP_UNROLL
      for (std::size_t k = 0; k < n; ++k) {
        const V d = V::load(slopes + j + k * w);
        (e[k] * pivot_attention * (d - delta)).store(scores + j + k * w);
        (e[k] * rest_attention).store(slopes + j + k * w);
      }
      j += n * w;
    };
    while (j + together * w <= end) next.template operator()<together>();
    while (j + w <= end) next.template operator()<1>();
    if (const std::size_t n = end - j; n != 0) {
      const V e = exp_nonpositive(below(load_part(scores + j, n, hidden_score<T>))),
              d = load_part(slopes + j, n);
      store_part(e * pivot_attention * (d - delta), scores + j, n);
      store_part(e * rest_attention, slopes + j, n);
    }
    if (const std::size_t place = in.pivot[r] - in.first_key;
        in.pivot[r] >= in.first_key && place < in.n_keys) {
      scores[place] = in.pivot_gradient[r];
      slopes[place] = in.pivot_attention[r];
    }
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
