#pragma once

// Rows of 16-bit tokens as the floats they are.

#include <cstddef>
#include <vector>

#include "core/data/half.h"
#include "softstep/batch.h"

namespace softstep::data {

inline float decode(std::uint16_t bits, StoredType storage) {
  return storage == StoredType::f16 ? decode_f16(bits) : decode_bf16(bits);
}

/// Reads one row at a time into memory of its own.
class HalfRows {
 public:
  explicit HalfRows(const HalfBatchView& batch) : batch_(batch), row_(batch.rest.dim) {}

  /// Token t of sample i, until the next call.
  const float* token(std::size_t i, std::size_t t) {
    const std::uint16_t* bits = batch_.sample(i) + t * batch_.rest.row_stride();
    for (std::size_t j = 0; j < row_.size(); ++j) row_[j] = decode(bits[j], batch_.storage);
    return row_.data();
  }
  /// z_i, until the next call.
  const float* query(std::size_t i) {
    if (batch_.rest.queries != nullptr) return batch_.rest.query(i);
    return token(i, batch_.rest.query_index ? static_cast<std::size_t>(batch_.rest.query_index[i]) : 0);
  }

 private:
  const HalfBatchView& batch_;
  std::vector<float> row_;
};

}  // namespace softstep::data
