#pragma once

// out[r][j] = scale x[r][j]: rows as they are stored, in f16, bf16 or T, as a block of T that the products
// read. x and out must not overlap; any alignment and strides, a stride of 0 repeats a row. Nothing is
// written beyond n_columns of a row. Error: one rounding; none where scale is a power of two and nothing
// leaves the normal range (tests/simd/test_packing.cpp). NaN and infinity stay what they are. Traffic: reads
// each row once, writes it once.

#include "simd/dispatch.h"
#include "simd/kernels/tokens.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class Tokens, class T>
SOFTSTEP_INLINE void pack_stored(const typename Tokens::Element* x, const PackArgs<T>& in) {
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V scale = V::all(in.scale);
  T* out = in.out;
  for (std::size_t r = 0; r < in.n_rows; ++r, x += in.stride, out += in.ld) {
    std::size_t j = 0;
    for (; j + w <= in.n_columns; j += w) (Tokens::load(x + j) * scale).store(out + j);
    if (const std::size_t left = in.n_columns - j; left != 0)
      store_part(Tokens::load_first(x + j, left) * scale, out + j, left);
  }
}

template <class T>
void pack_rows(const PackArgs<T>& in) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (in.storage == StoredType::f16) return pack_stored<F16Tokens>(in.half_rows, in);
    if (in.storage == StoredType::bf16) return pack_stored<Bf16Tokens>(in.half_rows, in);
  }
  pack_stored<WorkingTokens<T>>(in.rows, in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
