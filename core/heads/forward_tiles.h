#pragma once

// The forward pass of a block of many rows: scores and sums of values are products, lot by lot of rows.

#include <memory>
#include <vector>

#include "core/heads/block_scores.h"
#include "core/heads/row_state.h"

namespace softstep::heads {

/// Keys transposed and values of blocks of keys, in panels. Those of a whole key head are kept while a thread
/// goes from one block of its rows to the next, unless they would take more than the large cache holds.
template <class T>
class PackedKeys {
 public:
  PackedKeys(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : keys_of_block_(size.keys * g.dim),
        values_of_block_(panels_size(size.keys, g.value_dim, tile_columns)),
        n_kept_((g.most_keys() + size.keys - 1) / size.keys) {
    const std::size_t one = WorkSpace<T>::rounded(keys_of_block_) + WorkSpace<T>::rounded(values_of_block_);
    keeps_all_ = n_kept_ * one * sizeof(T) <= most_bytes;
    if (!keeps_all_) n_kept_ = 1;
    n_kept_ = std::max<std::size_t>(n_kept_, 1);
    numbers_ = std::make_unique<WorkSpace<T>>(n_kept_ * one);
    for (std::size_t k = 0; k < n_kept_; ++k) {
      keys_.push_back(numbers_->take(keys_of_block_));
      values_.push_back(numbers_->take(values_of_block_));
    }
    is_packed_.assign(n_kept_, false);
  }
  /// Block `index` of the keys of a head: where it is, and whether it must be packed first.
  struct Block {
    T *keys, *values;
    bool is_packed;
  };
  Block block(std::size_t b, std::size_t key_head, std::size_t index) {
    if (b != b_ || key_head != key_head_) is_packed_.assign(n_kept_, false);
    b_ = b;
    key_head_ = key_head;
    if (!keeps_all_) return {keys_[0], values_[0], false};
    const bool packed = is_packed_[index];
    is_packed_[index] = true;
    return {keys_[index], values_[index], packed};
  }

 private:
  static constexpr std::size_t most_bytes = std::size_t{8} << 20;
  std::size_t keys_of_block_, values_of_block_, n_kept_;
  bool keeps_all_ = false;
  std::unique_ptr<WorkSpace<T>> numbers_;
  std::vector<T*> keys_, values_;
  std::vector<bool> is_packed_;
  std::size_t b_ = static_cast<std::size_t>(-1), key_head_ = 0;
};

/// What one thread needs for blocks of rows.
template <class T>
struct ForwardSpace {
  ForwardSpace(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : packed(g, size, tile_columns),
        numbers(total(g, size)),
        places(4 * WorkSpace<std::size_t>::rounded(size.rows)),
        ranges(size.rows) {
    const std::size_t d = g.dim, dv = g.value_dim;
    q = numbers.take(size.rows * d);
    own.rest_values = numbers.take(size.rows * dv);
    for (T** row : {&value, &result}) *row = numbers.take(dv);
    scores = numbers.take(scores_size(size));
    plain = numbers.take(plain_rows_of(size) * std::max(d, dv));
    for (T** row : {&own.top, &own.second, &own.rest, &decay, &former_weight}) *row = numbers.take(size.rows);
    for (std::size_t** row : {&own.pivot, &former, &seen.begin, &seen.end}) *row = places.take(size.rows);
  }
  // Few rows take keys by few_keys, however few of them a block of many rows has where they are long.
  static std::size_t scores_size(BlockSize size) {
    return std::max(size.lot * size.keys, few_rows * few_keys);
  }
  static std::size_t plain_rows_of(BlockSize size) { return std::max(size.keys, few_keys); }
  static std::size_t total(const Geometry& g, BlockSize size) {
    const auto rounded = [](std::size_t n) { return WorkSpace<T>::rounded(n); };
    const std::size_t d = g.dim, dv = g.value_dim;
    return rounded(size.rows * d) + rounded(size.rows * dv) + 2 * rounded(dv) + rounded(scores_size(size)) +
           rounded(plain_rows_of(size) * std::max(d, dv)) + 5 * rounded(size.rows);
  }
  PackedKeys<T> packed;
  WorkSpace<T> numbers;
  WorkSpace<std::size_t> places;
  std::vector<KeyRange> ranges;
  T *q, *scores, *plain, *decay, *former_weight, *value, *result;
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

/// A block of keys in panels, and how many keys it has: all that are not padding.
template <class T>
struct KeyPanels {
  const T *keys, *values;
  std::size_t n_keys;
};
template <class T>
KeyPanels<T> packed_keys(const Call<T>& call, const BlockSize& size, const RowBlock& block,
                         std::size_t first_key, ForwardSpace<T>& space) {
  const Geometry& g = call.geometry;
  const std::size_t n = std::min(size.keys, g.keys_of(block.b) - first_key);
  const auto room = space.packed.block(block.b, block.key_head, first_key / size.keys);
  if (!room.is_packed) {
    const auto plain = [&](const InputRows<T>& rows, std::size_t columns) {
      return plain_key_rows(call.kernels, g, rows, block.b, block.key_head, first_key, n, columns,
                            space.plain);
    };
    pack_transposed(call.kernels, plain(call.keys, g.dim), n, g.dim, room.keys);
    pack_panels(call.kernels, plain(call.values, g.value_dim), n, g.value_dim, room.values);
  }
  return {room.keys, room.values, n};
}

/// What a block's rows take from the keys first_key .. first_key + n_keys - 1.
template <class T>
void add_keys(const Call<T>& call, const BlockSize& size, const RowBlock& block, const RowsAt<T>& rows,
              std::size_t first_key, std::size_t n_keys, ForwardSpace<T>& space) {
  const std::size_t ld = size.keys, dv = call.geometry.value_dim;
  const KeyPanels<T> panels = packed_keys(call, size, block, first_key, space);
  for_each_lot(space.ranges.data(), block.n_rows, size.lot, first_key, n_keys, space.seen,
               [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
                 lot_scores<T>(call, block, first, count, first_key, columns, space.q, panels.keys, ld,
                               space.scores, nullptr);
                 weigh(call, block, rows, first, count, first_key, columns, ld, whole, space);
                 call.kernels.product_panels({count, dv, columns, space.scores, ld, false, panels.values,
                                              panels.n_keys, rows.rest_values + first * dv, dv, true});
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
