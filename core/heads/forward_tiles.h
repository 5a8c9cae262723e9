#pragma once

// The forward pass of a block of many rows: scores and sums of values are products, lot by lot of rows.

#include <vector>

#include "core/heads/block_scores.h"
#include "core/heads/row_state.h"

namespace softstep::heads {

/// What one thread needs for blocks of rows.
template <class T>
struct ForwardSpace {
  ForwardSpace(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : numbers(total(g, size, tile_columns)),
        places(4 * WorkSpace<std::size_t>::rounded(size.rows)),
        ranges(size.rows) {
    const std::size_t d = g.dim, dv = g.value_dim;
    q = numbers.take(size.rows * d);
    own.rest_values = numbers.take(size.rows * dv);
    for (T** row : {&value, &result}) *row = numbers.take(dv);
    scores = numbers.take(size.lot * size.keys);
    keys = numbers.take(size.keys * d);
    values = numbers.take(panels_size(size.keys, dv, tile_columns));
    plain = numbers.take(size.keys * std::max(d, dv));
    for (T** row : {&own.top, &own.second, &own.rest, &decay, &former_weight}) *row = numbers.take(size.rows);
    for (std::size_t** row : {&own.pivot, &former, &seen.begin, &seen.end}) *row = places.take(size.rows);
  }
  static std::size_t total(const Geometry& g, BlockSize size, std::size_t tile_columns) {
    const auto rounded = [](std::size_t n) { return WorkSpace<T>::rounded(n); };
    const std::size_t d = g.dim, dv = g.value_dim;
    return rounded(size.rows * d) + rounded(size.rows * dv) + 2 * rounded(dv) +
           rounded(size.lot * size.keys) + rounded(size.keys * d) +
           rounded(panels_size(size.keys, dv, tile_columns)) + rounded(size.keys * std::max(d, dv)) +
           5 * rounded(size.rows);
  }
  WorkSpace<T> numbers;
  WorkSpace<std::size_t> places;
  std::vector<KeyRange> ranges;
  T *q, *scores, *keys, *values, *plain, *decay, *former_weight, *value, *result;
  RowsAt<T> own;
  std::size_t* former;
  Seen seen;
};

/// v_j of a key head as numbers of T.
template <class T>
const T* value_row(const Call<T>& call, const RowBlock& block, std::size_t key, T* room) {
  return plain_rows(call.kernels, call.values,
                    call.values.place(block.b, block.key_head, call.geometry.first_key(block.b), key), 1,
                    call.geometry.value_dim, room)
      .rows;
}

/// Queries of a block times the scale, and what they see.
template <class T>
void load_queries(const Call<T>& call, const RowBlock& block, ForwardSpace<T>& space) {
  load_rows(call.kernels, call.geometry, call.queries, block, call.geometry.dim,
            static_cast<T>(call.geometry.scale), space.q);
  ranges_of(call.geometry, block, space.ranges.data());
}

/// Scores of `count` rows become weights; the rows' sums so far are brought to the new second largest scores.
template <class T>
void weigh(const Call<T>& call, const RowBlock& block, const RowsAt<T>& rows, std::size_t first,
           std::size_t count, std::size_t first_key, std::size_t columns, std::size_t ld, bool whole,
           ForwardSpace<T>& space) {
  const std::size_t dv = call.geometry.value_dim;
  const RowsAt<T> at = rows.from(first, dv);
  call.kernels.softmax_rows({count, columns, space.scores, ld, whole ? nullptr : space.seen.begin + first,
                             whole ? nullptr : space.seen.end + first, first_key, at.top, at.second, at.pivot,
                             at.rest, space.decay, space.former_weight, space.former});
  for (std::size_t r = 0; r < count; ++r) {
    T* rest = at.rest_values + r * dv;
    if (space.decay[r] != T(1)) call.kernels.scale_row(dv, space.decay[r], T(1), rest);
    if (space.former_weight[r] != T(0))
      call.kernels.axpy(dv, space.former_weight[r], value_row(call, block, space.former[r], space.value),
                        rest);
  }
}

/// What a block's rows take from the keys first_key .. first_key + n_keys - 1.
template <class T>
void add_keys(const Call<T>& call, const BlockSize& size, const RowBlock& block, const RowsAt<T>& rows,
              std::size_t first_key, std::size_t n_keys, ForwardSpace<T>& space) {
  const Geometry& g = call.geometry;
  const std::size_t ld = size.keys, dv = g.value_dim, offset = g.first_key(block.b);
  pack_transposed(
      call.kernels,
      plain_rows(call.kernels, call.keys, call.keys.place(block.b, block.key_head, offset, first_key), n_keys,
                 g.dim, space.plain),
      n_keys, g.dim, space.keys);
  pack_panels(
      call.kernels,
      plain_rows(call.kernels, call.values, call.values.place(block.b, block.key_head, offset, first_key),
                 n_keys, dv, space.plain),
      n_keys, dv, space.values);
  for_each_lot(space.ranges.data(), block.n_rows, size.lot, first_key, n_keys, space.seen,
               [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
                 lot_scores<T>(call, block, first, count, first_key, columns, space.q, space.keys, ld,
                               space.scores, nullptr);
                 weigh(call, block, rows, first, count, first_key, columns, ld, whole, space);
                 call.kernels.product_panels({count, dv, columns, space.scores, ld, false, space.values,
                                              n_keys, rows.rest_values + first * dv, dv, true});
               });
}

/// A block's rows, from first to last key.
template <class T>
void attend_in_tiles(const Call<T>& call, const BlockSize& size, const RowBlock& block, const RowsAt<T>& rows,
                     ForwardSpace<T>& space) {
  rows.clear(block.n_rows, call.geometry.value_dim);
  load_queries(call, block, space);
  const KeyRange seen = seen_by_any(space.ranges.data(), block.n_rows);
  for (std::size_t first = seen.begin / size.keys * size.keys; first < seen.end; first += size.keys)
    add_keys(call, size, block, rows, first, std::min(size.keys, seen.end - first), space);
}

}  // namespace softstep::heads
