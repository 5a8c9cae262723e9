#pragma once

// The forward pass of few rows, as when one token is decoded: keys and values are read once, where they lie
// and as they are stored, in chunks that different threads can take.

#include "core/heads/forward_tiles.h"

namespace softstep::heads {

/// Stored rows for the kernels that read them in place; negative and overlapping strides are copied to
/// `room`.
template <class T>
simd::AttentionArgs<T> rows_in_place(const simd::Kernels<T>& kernels, const InputRows<T>& rows,
                                     std::ptrdiff_t place, std::size_t n_rows, std::size_t n_columns,
                                     T* room) {
  simd::AttentionArgs<T> args{};
  args.n_tokens = n_rows;
  args.dim = n_columns;
  if (rows.in_halves() && rows.row >= static_cast<std::ptrdiff_t>(n_columns)) {
    args.storage = rows.storage;
    args.half_tokens = rows.halves + place;
    args.token_stride = static_cast<std::size_t>(rows.row);
    return args;
  }
  const PlainRows<T> plain = plain_rows(kernels, rows, place, n_rows, n_columns, room);
  args.tokens = plain.rows;
  args.token_stride = plain.ld;
  return args;
}

/// The same rows, to be fetched while others are read; copied rows are not.
template <class T>
simd::AheadRows ahead_of(const InputRows<T>& rows, std::ptrdiff_t place, std::size_t n_rows,
                         std::size_t n_columns) {
  if (rows.row < static_cast<std::ptrdiff_t>(n_columns)) return {};
  const std::size_t size = rows.in_halves() ? sizeof(std::uint16_t) : sizeof(T);
  const void* first = rows.in_halves() ? static_cast<const void*>(rows.halves + place) : rows.numbers + place;
  return {first, static_cast<std::size_t>(rows.row) * size, n_columns * size, n_rows};
}

/// scores[r][j] of a block's rows and of keys from first_key on, with cap and bias.
template <class T>
void few_scores(const Call<T>& call, const RowBlock& block, std::size_t first_key, std::size_t n_keys,
                const T* q, T* room, T* scores, const simd::AheadRows& ahead) {
  const Geometry& g = call.geometry;
  const auto bias_of = [&](std::size_t r) {
    const std::size_t m = g.queries_of(block.b), row = block.first + r;
    return call.bias_row(block.b, block.key_head * g.group + row / m, row % m) + first_key;
  };
  simd::AttentionArgs<T> args = rows_in_place(
      call.kernels, call.keys, call.keys.place(block.b, block.key_head, g.first_key(block.b), first_key),
      n_keys, g.dim, room);
  for (std::size_t r = 0; r < block.n_rows; ++r) {
    args.ahead = r == 0 ? ahead : simd::AheadRows{};
    args.projected_query = q + r * g.dim;
    args.scores = scores + r * few_keys;
    call.kernels.row_scores(args);
    if (call.bias_hides) hide_keys(n_keys, bias_of(r), T(0), args.scores);  // until the bias is added
  }
  if (g.soft_cap > 0.0)
    call.kernels.soft_cap({block.n_rows, n_keys, static_cast<T>(g.soft_cap), scores, few_keys, nullptr});
  if (call.bias.numbers.empty()) return;
  for (std::size_t r = 0; r < block.n_rows; ++r)
    call.kernels.axpy(n_keys, T(1), bias_of(r), scores + r * few_keys);
}

/// A block's rows, over the keys of one chunk.
template <class T>
void attend_few(const Call<T>& call, const RowBlock& block, std::size_t chunk, const RowsAt<T>& rows,
                ForwardSpace<T>& space) {
  const Geometry& g = call.geometry;
  const std::size_t dv = g.value_dim;
  rows.clear(block.n_rows, dv);
  load_queries(call, block, space);
  const KeyRange seen = seen_by_any(space.ranges.data(), block.n_rows);
  const std::size_t end = std::min(seen.end, (chunk + 1) * chunk_keys);
  // The block has all rows of its key head, so that keys ahead of `seen` are seen by none.
  for (std::size_t first = std::max(seen.begin, chunk * chunk_keys); first < end; first += few_keys) {
    const std::size_t n = std::min(few_keys, end - first);
    const auto place = [&](const InputRows<T>& stored, std::size_t key) {
      return stored.place(block.b, block.key_head, g.first_key(block.b), key);
    };
    // Values are fetched while keys are read, and the next keys while values are.
    few_scores<T>(call, block, first, n, space.q, space.plain, space.scores,
                  ahead_of(call.values, place(call.values, first), n, dv));
    const std::size_t next = first + n, n_next = std::min(few_keys, seen.end - next);
    bool whole = true;
    for (std::size_t r = 0; r < block.n_rows; ++r) {
      space.seen.begin[r] = std::clamp(space.ranges[r].begin, first, first + n) - first;
      space.seen.end[r] = std::clamp(space.ranges[r].end, first, first + n) - first;
      whole = whole && space.seen.begin[r] == 0 && space.seen.end[r] == n;
    }
    weigh(call, block, rows, 0, block.n_rows, first, n, few_keys, whole, space);
    simd::AttentionArgs<T> args =
        rows_in_place(call.kernels, call.values, place(call.values, first), n, dv, space.plain);
    args.gradient = space.result;
    if (n_next != 0) args.ahead = ahead_of(call.keys, place(call.keys, next), n_next, g.dim);
    for (std::size_t r = 0; r < block.n_rows; ++r) {
      args.weights = space.scores + r * few_keys;
      call.kernels.weighted_rows(args);
      args.ahead = {};
      call.kernels.axpy(dv, T(1), space.result, rows.rest_values + r * dv);
    }
  }
}

}  // namespace softstep::heads
