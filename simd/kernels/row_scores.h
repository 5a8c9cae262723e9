#pragma once

// s_t = x_t . v of all rows x_t: the first pass of the attention kernel alone, for few queries, whose keys
// are read where they lie. Reads tokens, token_stride, n_tokens, dim, projected_query and storage of
// AttentionArgs; writes `scores`. Error and traffic: simd/kernels/attention.h
// (tests/simd/test_row_passes.cpp).

#include "simd/kernels/token_passes.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// The tokens of `in` as they are stored.
template <class T, class Body>
SOFTSTEP_INLINE void with_tokens(const AttentionArgs<T>& in, Body body) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (in.storage == StoredType::f16) return body.template operator()<F16Tokens>(in.half_tokens);
    if (in.storage == StoredType::bf16) return body.template operator()<Bf16Tokens>(in.half_tokens);
  }
  body.template operator()<WorkingTokens<T>>(in.tokens);
}

template <class T>
void row_scores(const AttentionArgs<T>& in) {
  with_tokens(in, [&]<class Tokens>(const typename Tokens::Element* tokens) SOFTSTEP_LAMBDA_INLINE {
    if (in.ahead.rows == nullptr)
      token_scores<Tokens>(tokens, in);
    else
      token_scores<Tokens>(tokens, in, Fetch(in.ahead));
  });
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
