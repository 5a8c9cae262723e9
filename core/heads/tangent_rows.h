#pragma once

// Along a direction (Q', K', V') of the inputs: what each row sums up over its keys (docs/mathematics.md,
// section 11.4).

#include <vector>

#include "core/heads/forward_tiles.h"
#include "core/heads/row_slopes.h"

namespace softstep::heads {

/// A direction of the inputs, checked; what is not given is zero.
template <class T>
struct Direction {
  Direction(const Call<T>& call, const HeadsDirection<T>& direction);
  InputRows<T> queries, keys, values;
  /// Throws InvalidArgument if the output lies on one of them.
  void require_apart_from(const Call<T>& call, const Extent& output) const;
};

template <class T>
class TangentRows {
 public:
  /// By row, in the order of Geometry::first_row.
  LargeArray<T> pivot_tangent;  ///< s'_a
  LargeArray<T> mean_tangent;   ///< sigma = sum_{j != a} A_j (s'_j - s'_a), A_j = p_a e_j
  LargeArray<T> value_sums;     ///< sum A_j (s'_j - s'_a) v_j, rows of value_dim
  LargeArray<T> tangent_sums;   ///< sum A_j v'_j, rows of value_dim

  TangentRows(const Call<T>& call, const typename HeadsState<T>::Impl& state, const Direction<T>& direction,
              const LargeArray<T>& pivot_attention);

 private:
  struct Space;
  void one_block(const RowBlock& block, Space& space);
  void find_pivot_tangents(const RowBlock& block, Space& space);

  const Call<T>& call_;
  const typename HeadsState<T>::Impl& state_;
  const Direction<T>& direction_;
  const LargeArray<T>& pivot_attention_;
  const BlockSize size_;
};

/// s'_ij of a lot of rows, through the cap. `tangents` are the block's queries of the direction times the
/// scale.
template <class T>
void lot_tangents(const Call<T>& call, const Direction<T>& direction, const RowBlock& block,
                  std::size_t first, std::size_t n_rows, std::size_t first_key, std::size_t n_keys,
                  const T* q, const T* tangents, const T* keys, const T* key_tangents, std::size_t ld,
                  const T* derivative, T* out) {
  const std::size_t d = call.geometry.dim;
  if (direction.queries.wanted())
    call.kernels.product_panels({n_rows, n_keys, d, tangents + first * d, d, false, keys, d, out, ld, false});
  else
    for (std::size_t r = 0; r < n_rows; ++r) std::fill_n(out + r * ld, n_keys, T(0));
  if (direction.keys.wanted())
    call.kernels.product_panels({n_rows, n_keys, d, q + first * d, d, false, key_tangents, d, out, ld, true});
  if (call.bias_hides)
    with_bias_of(call, block, first, n_rows, first_key,
                 [&](const T* bias, std::size_t r) { hide_keys(n_keys, bias, T(0), out + r * ld); });
  if (derivative == nullptr) return;
  for (std::size_t r = 0; r < n_rows; ++r)
    for (std::size_t j = 0; j < n_keys; ++j) out[r * ld + j] *= derivative[r * ld + j];
}

}  // namespace softstep::heads
