#pragma once

// Tokens and queries of a batch as numbers, whether they lie in it or in 16 bits beside it.

#include <cstddef>
#include <vector>

#include "core/data/half.h"
#include "core/data/read_ahead.h"
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
      : batch_(batch),
        halves_(batch.tokens == nullptr ? &halves : nullptr),
        tokens_ahead_(halves_ == nullptr ? static_cast<const void*>(batch.tokens) : halves.tokens.data()),
        queries_ahead_(batch.queries) {
    if (halves_ != nullptr) row_.resize(batch.dim);
  }
  explicit TokenRows(const BatchView<T>& batch)
      : batch_(batch), halves_(nullptr), tokens_ahead_(batch.tokens), queries_ahead_(batch.queries) {}

  /// Token t of sample i, until the next call: one in 16 bits is read into memory of this object.
  const T* token(std::size_t i, std::size_t t) {
    if (halves_ == nullptr) {
      const T* x = batch_.sample(i) + t * batch_.row_stride();
      tokens_ahead_.reading(x, batch_.dim * sizeof(T));
      return x;
    }
    const std::uint16_t* bits = halves_->sample(i) + t * batch_.row_stride();
    tokens_ahead_.reading(bits, row_.size() * sizeof(std::uint16_t));
    for (std::size_t j = 0; j < row_.size(); ++j) row_[j] = decode(bits[j], halves_->storage);
    return row_.data();
  }
  /// z_iq, until the next call.
  const T* query(std::size_t i, std::size_t q = 0) {
    if (batch_.queries != nullptr) {
      const T* z = batch_.query(i, q);
      queries_ahead_.reading(z, batch_.dim * sizeof(T));
      return z;
    }
    return token(i, batch_.query_token(i, q));
  }

 private:
  const BatchView<T>& batch_;
  const HalfBatchView* halves_;  // null: the tokens are in the batch
  std::vector<T> row_;
  ReadAhead tokens_ahead_, queries_ahead_;
};

}  // namespace softstep::data
