#pragma once

// Scores of a lot of rows of a block: scaled products of queries and keys, capped, plus the bias.

#include <limits>

#include "core/heads/blocks.h"
#include "core/heads/call.h"

namespace softstep::heads {

/// `hidden` in place of the scores of keys that the bias hides: their products may have overflowed, and
/// infinity less infinity hides nothing.
template <class T>
void hide_keys(std::size_t n_keys, const T* bias, T hidden, T* scores) {
  for (std::size_t j = 0; j < n_keys; ++j)
    scores[j] = bias[j] == -std::numeric_limits<T>::infinity() ? hidden : scores[j];
}

/// Calls put(bias, r) for each of these rows of the block, r counted from the first of them; the bias is that
/// of the keys from first_key on.
template <class T, class Put>
void with_bias_of(const Call<T>& call, const RowBlock& block, std::size_t first, std::size_t n_rows,
                  std::size_t first_key, Put put) {
  const std::size_t m = call.geometry.queries_of(block.b);
  for (std::size_t r = 0; r < n_rows; ++r) {
    const std::size_t row = block.first + first + r;
    put(call.bias_row(block.b, block.key_head * call.geometry.group + row / m, row % m) + first_key, r);
  }
}

/// scores[r][j] of rows first .. first + n_rows - 1 of the block, r counted from the first of them, and of
/// the keys from first_key on. `q` are the block's queries times the scale, `keys` the keys transposed, in
/// panels. `derivative` of the cap; null where it is not wanted or there is none.
template <class T>
void lot_scores(const Call<T>& call, const RowBlock& block, std::size_t first, std::size_t n_rows,
                std::size_t first_key, std::size_t n_keys, const T* q, const T* keys, std::size_t ld,
                T* scores, T* derivative, T* capped = nullptr) {
  const Geometry& g = call.geometry;
  const bool biased = !call.bias.numbers.empty(), has_cap = g.soft_cap > 0.0;
  const auto with_bias = [&](auto put) {
    with_bias_of(call, block, first, n_rows, first_key,
                 [&](const T* bias, std::size_t r) { put(bias, scores + r * ld); });
  };
  const bool on_bias = biased && !has_cap;
  if (on_bias) with_bias([&](const T* bias, T* s) { std::copy_n(bias, n_keys, s); });
  call.kernels.product_panels(
      {n_rows, n_keys, g.dim, q + first * g.dim, g.dim, false, keys, g.dim, scores, ld, on_bias});
  // With a cap the bias is yet to be added.
  const T hidden = has_cap ? T(0) : -std::numeric_limits<T>::infinity();
  if (call.bias_hides) with_bias([&](const T* bias, T* s) { hide_keys(n_keys, bias, hidden, s); });
  if (!has_cap) return;
  call.kernels.soft_cap({n_rows, n_keys, static_cast<T>(g.soft_cap), scores, ld, derivative});
  if (capped != nullptr) std::copy_n(scores, n_rows * ld, capped);
  if (biased) with_bias([&](const T* bias, T* s) { call.kernels.axpy(n_keys, T(1), bias, s); });
}

}  // namespace softstep::heads
