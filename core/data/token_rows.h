#pragma once

// Tokens and queries of a batch as numbers, whether they lie in it or in 16 bits beside it.

#include <cstddef>
#include <vector>

#include "core/data/half.h"
#include "softstep/batch.h"

namespace softstep::data {

inline float decode(std::uint16_t bits, StoredType storage) {
  return storage == StoredType::f16 ? decode_f16(bits) : decode_bf16(bits);
}

template <class T>
class TokenRows {
 public:
  /// `halves` has the tokens where those of `batch` are null.
  TokenRows(const BatchView<T>& batch, const HalfBatchView& halves)
      : batch_(batch), halves_(batch.tokens == nullptr ? &halves : nullptr) {
    if (halves_ != nullptr) row_.resize(batch.dim);
  }
  explicit TokenRows(const BatchView<T>& batch) : batch_(batch), halves_(nullptr) {}

  /// Token t of sample i, until the next call: one in 16 bits is read into memory of this object.
  const T* token(std::size_t i, std::size_t t) {
    if (halves_ == nullptr) return batch_.sample(i) + t * batch_.row_stride();
    const std::uint16_t* bits = halves_->sample(i) + t * batch_.row_stride();
    for (std::size_t j = 0; j < row_.size(); ++j) row_[j] = decode(bits[j], halves_->storage);
    return row_.data();
  }
  /// z_iq, until the next call.
  const T* query(std::size_t i, std::size_t q = 0) {
    if (halves_ == nullptr || batch_.queries != nullptr) return batch_.query(i, q);
    return token(i, batch_.query_token(i, q));
  }

 private:
  const BatchView<T>& batch_;
  const HalfBatchView* halves_;  // null: the tokens are in the batch
  std::vector<T> row_;
};

}  // namespace softstep::data
