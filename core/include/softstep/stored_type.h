#pragma once

#include "softstep/export.h"

namespace softstep {

/// How numbers are stored, in memory or in a file. Numbers in 16 bits are read without rounding.
enum class StoredType {
  working,  ///< the type that is computed with
  f64,      ///< double
  f32,      ///< float
  f16,      ///< IEEE binary16
  bf16      ///< bfloat16, the upper half of a float
};
SOFTSTEP_EXPORT const char* to_string(StoredType type);  ///< "working", "f64", "f32", "f16" or "bf16"

/// Whether numbers of this type take 16 bits.
constexpr bool in_16_bits(StoredType type) { return type == StoredType::f16 || type == StoredType::bf16; }

}  // namespace softstep
