#pragma once

// Scores of a lot of rows of a block: scaled products of queries and keys, capped, plus the bias.

#include "core/heads/blocks.h"
#include "core/heads/call.h"

namespace softstep::heads {

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
    const std::size_t m = g.queries_of(block.b);
    for (std::size_t r = 0; r < n_rows; ++r) {
      const std::size_t row = block.first + first + r;
      put(call.bias_row(block.b, block.key_head * g.group + row / m, row % m) + first_key, scores + r * ld);
    }
  };
  const bool on_bias = biased && !has_cap;
  if (on_bias) with_bias([&](const T* bias, T* s) { std::copy_n(bias, n_keys, s); });
  call.kernels.product_panels(
      {n_rows, n_keys, g.dim, q + first * g.dim, g.dim, false, keys, g.dim, scores, ld, on_bias});
  if (!has_cap) return;
  call.kernels.soft_cap({n_rows, n_keys, static_cast<T>(g.soft_cap), scores, ld, derivative});
  if (capped != nullptr) std::copy_n(scores, n_rows * ld, capped);
  if (biased) with_bias([&](const T* bias, T* s) { call.kernels.axpy(n_keys, T(1), bias, s); });
}

}  // namespace softstep::heads
