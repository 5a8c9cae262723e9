#pragma once

// Tokens as they are stored, read as vectors of the working type. float16 and bfloat16 are exact in float:
// what is computed from them has the error bounds of the same numbers stored as float. Subnormal, infinite
// and NaN float16 values keep their meaning.

#include <cstdint>

#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct WorkingTokens {
  using Element = T;
  SOFTSTEP_INLINE static Vec<T> load(const T* p) { return Vec<T>::load(p); }
  SOFTSTEP_INLINE static Vec<T> load_first(const T* p, std::size_t n) { return load_part(p, n); }
};

struct F16Tokens {
  using Element = std::uint16_t;
  SOFTSTEP_INLINE static Vec<float> load(const Element* p) { return from_f16(load_halves(p)); }
  SOFTSTEP_INLINE static Vec<float> load_first(const Element* p, std::size_t n) {
    return from_f16(load_halves(p, n));
  }
};

struct Bf16Tokens {
  using Element = std::uint16_t;
  SOFTSTEP_INLINE static Vec<float> load(const Element* p) { return from_bf16(load_halves(p)); }
  SOFTSTEP_INLINE static Vec<float> load_first(const Element* p, std::size_t n) {
    return from_bf16(load_halves(p, n));
  }
};

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
