#pragma once

// g = sum_t r_t x_t: the second pass of the attention kernel alone. Reads tokens, token_stride, n_tokens,
// dim, weights and storage of AttentionArgs; writes `gradient`. Error: |g_j - exact| <= T u sum_t |r_t x_tj|:
// a product is rounded once, and of the additions it goes through at most T - 1 have two terms that are not
// zero (tests/simd/test_row_passes.cpp). Traffic: reads the rows once, in strips of row_vectors vectors.

#include "simd/kernels/row_scores.h"
#include "simd/kernels/token_passes.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void weighted_rows(const AttentionArgs<T>& in) {
  with_tokens(in, [&]<class Tokens>(const typename Tokens::Element* tokens) SOFTSTEP_LAMBDA_INLINE {
    if (in.ahead.rows == nullptr)
      gradient_row<Tokens>(tokens, in);
    else
      gradient_row<Tokens>(tokens, in, Fetch(in.ahead));
  });
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
