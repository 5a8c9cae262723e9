#pragma once

// Blocks of queries and keys: how large, which rows they hold, and their numbers in the order that the
// products read them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/heads/geometry.h"
#include "core/linalg/panels.h"
#include "simd/dispatch.h"

namespace softstep::heads {

/// Rows of a group that go through the products together, and keys. Constant for an instruction set, so that
/// bits depend on nothing else: sums over keys go on from block to block.
/// `lot` rows at a time go through scores, softmax and products, so that their scores stay in the near
/// caches: whole tiles for every instruction set.
struct BlockSize {
  std::size_t rows, keys, lot;
};

/// Blocks of rows of `columns` numbers that the second cache holds. Blocks of keys may be larger: they are
/// read in order, and the more keys a block has, the fewer times rows are packed and sums over keys taken up
/// again (backward with 256 columns: 1.3 times as fast with 192 keys as with 48). Only `keys` has a part in
/// the bits of results.
template <class T>
BlockSize block_size(std::size_t columns, std::size_t tile_columns, bool backward) {
  const std::size_t row_bytes = std::max<std::size_t>(columns, 32) * sizeof(T);
  const std::size_t kib = 1024, fitting = (backward ? 192 : 384) * kib / row_bytes,
                    most = (backward ? 768 : 1536) / sizeof(T);
  const std::size_t panels = std::max<std::size_t>(std::min(fitting, most) / tile_columns, 1);
  // Whole tiles for every instruction set.
  const std::size_t lot = backward ? 384 / sizeof(T) : 24;
  const std::size_t rows = backward ? lot : std::clamp<std::size_t>(128 * kib / row_bytes / lot, 2, 22) * lot;
  return {rows, panels * tile_columns, lot};
}

/// Up to so many rows of a group are few: more of them gain by packed keys.
constexpr std::size_t few_rows = 4;
/// Keys of a chunk, and of what goes through scores, softmax and sums together. Constant, so that bits depend
/// on nothing else.
constexpr std::size_t chunk_keys = 2048, few_keys = 128;

/// Memory of one thread, begun at a cache line.
template <class T>
class WorkSpace {
 public:
  explicit WorkSpace(std::size_t size)
      : numbers_(static_cast<T*>(::operator new (size * sizeof(T), std::align_val_t{64}))), size_(size) {}
  /// The next `size` numbers, begun at a cache line.
  T* take(std::size_t size) {
    T* out = numbers_.get() + used_;
    used_ += rounded(size);
    return used_ <= size_ ? out : throw std::bad_alloc();
  }
  static std::size_t rounded(std::size_t size) {
    constexpr std::size_t line = 64 / sizeof(T);
    return (size + line - 1) / line * line;
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> numbers_;
  std::size_t size_, used_ = 0;
};

/// Rows of a group that lie in one head, one after the other.
struct Run {
  std::size_t head, first_query, n_rows;
};
/// Calls body(run, rows before it) for the rows first .. first + n - 1 of a group of heads with m queries.
template <class Body>
void for_each_run(std::size_t first_head, std::size_t m, std::size_t first, std::size_t n, Body body) {
  for (std::size_t done = 0; done < n;) {
    const std::size_t query = (first + done) % m, count = std::min(n - done, m - query);
    body(Run{first_head + (first + done) / m, query, count}, done);
    done += count;
  }
}

/// Copies rows as they are stored, times `scale`.
template <class T>
void pack(const simd::Kernels<T>& kernels, const InputRows<T>& rows, std::ptrdiff_t place, std::size_t n_rows,
          std::size_t n_columns, T scale, T* out, std::size_t ld) {
  simd::PackArgs<T> args{};
  args.n_rows = n_rows;
  args.n_columns = n_columns;
  args.stride = rows.row;
  args.storage = rows.storage;
  if (rows.in_halves())
    args.half_rows = rows.halves + place;
  else
    args.rows = rows.numbers + place;
  args.scale = scale;
  args.out = out;
  args.ld = ld;
  kernels.pack_rows(args);
}

/// Rows of keys or values as the products want them: where they lie if they can be read there, else copied.
template <class T>
PlainRows<T> plain_rows(const simd::Kernels<T>& kernels, const InputRows<T>& rows, std::ptrdiff_t place,
                        std::size_t n_rows, std::size_t n_columns, T* room) {
  if (!rows.in_halves() && rows.row >= static_cast<std::ptrdiff_t>(n_columns))
    return {rows.numbers + place, static_cast<std::size_t>(rows.row)};
  pack(kernels, rows, place, n_rows, n_columns, T(1), room, n_columns);
  return {room, n_columns};
}

/// Rows first .. first + n_rows - 1 of a batch entry's keys or values. Those that no query sees are not
/// looked at, and are zeros.
template <class T>
PlainRows<T> plain_key_rows(const simd::Kernels<T>& kernels, const Geometry& g, const InputRows<T>& rows,
                            std::size_t b, std::size_t key_head, std::size_t first, std::size_t n_rows,
                            std::size_t n_columns, T* room) {
  const auto in_rows = [&](std::size_t key) { return std::clamp(key, first, first + n_rows) - first; };
  const std::size_t begin = in_rows(g.first_seen_key(b)), end = std::max(begin, in_rows(g.end_seen_key(b)));
  const auto place = [&](std::size_t key) { return rows.place(b, key_head, g.first_key(b), key); };
  if (begin == 0 && end == n_rows) return plain_rows(kernels, rows, place(first), n_rows, n_columns, room);
  std::fill_n(room, begin * n_columns, T(0));
  if (begin < end)
    pack(kernels, rows, place(first + begin), end - begin, n_columns, T(1), room + begin * n_columns,
         n_columns);
  std::fill_n(room + end * n_columns, (n_rows - end) * n_columns, T(0));
  return {room, n_columns};
}

/// Columns begin .. end-1 of a block of keys that rows see.
struct Seen {
  std::size_t* begin;
  std::size_t* end;
};

/// Calls body(first row, rows, columns, all seen) for each lot of rows that sees some of the keys first_key
/// .. first_key + n_keys - 1, up to the last that it sees. `ranges` are those of the block's rows; `seen` is
/// filled in for the lot.
template <class Body>
void for_each_lot(const KeyRange* ranges, std::size_t n_rows, std::size_t lot, std::size_t first_key,
                  std::size_t n_keys, const Seen& seen, Body body) {
  const std::size_t end_key = first_key + n_keys;
  for (std::size_t first = 0; first < n_rows; first += lot) {
    const std::size_t end = first + std::min(lot, n_rows - first);
    std::size_t columns = 0;
    bool whole = true;
    for (std::size_t r = first; r < end; ++r) {
      seen.begin[r] = std::clamp(ranges[r].begin, first_key, end_key) - first_key;
      seen.end[r] = std::clamp(ranges[r].end, first_key, end_key) - first_key;
      if (seen.begin[r] < seen.end[r]) columns = std::max(columns, seen.end[r]);
      whole = whole && seen.begin[r] == 0 && seen.end[r] == n_keys;
    }
    if (columns == 0) continue;
    for (std::size_t r = first; r < end; ++r) {
      seen.begin[r] = std::min(seen.begin[r], columns);
      seen.end[r] = std::min(seen.end[r], columns);
    }
    body(first, end - first, columns, whole);
  }
}

/// Rows of a group: batch entry, key head, number of the first.
struct RowBlock {
  std::size_t b, key_head, first, n_rows;
};
inline void ranges_of(const Geometry& g, const RowBlock& block, KeyRange* ranges) {
  const std::size_t m = g.queries_of(block.b);
  for (std::size_t r = 0; r < block.n_rows; ++r) ranges[r] = g.seen_by(block.b, (block.first + r) % m);
}
/// Rows of a block, as they are stored, times `scale`, one after the other.
template <class T>
void load_rows(const simd::Kernels<T>& kernels, const Geometry& g, const InputRows<T>& rows,
               const RowBlock& block, std::size_t n_columns, T scale, T* out) {
  for_each_run(block.key_head * g.group, g.queries_of(block.b), block.first, block.n_rows,
               [&](const Run& run, std::size_t before) {
                 pack(kernels, rows, rows.place(block.b, run.head, g.first_query(block.b), run.first_query),
                      run.n_rows, n_columns, scale, out + before * n_columns, n_columns);
               });
}

/// Zeros in the rows of a block that see no key: what is NaN there stays out of sums over rows.
template <class T>
void clear_blind_rows(const KeyRange* ranges, std::size_t n_rows, std::size_t n_columns, T* rows) {
  for (std::size_t r = 0; r < n_rows; ++r)
    if (ranges[r].begin == ranges[r].end) std::fill_n(rows + r * n_columns, n_columns, T(0));
}

/// First and last key that any of the rows sees.
inline KeyRange seen_by_any(const KeyRange* ranges, std::size_t n_rows) {
  KeyRange out{static_cast<std::size_t>(-1), 0};
  for (std::size_t r = 0; r < n_rows; ++r) {
    if (ranges[r].begin == ranges[r].end) continue;
    out.begin = std::min(out.begin, ranges[r].begin);
    out.end = std::max(out.end, ranges[r].end);
  }
  return out.end == 0 ? KeyRange{0, 0} : out;
}

}  // namespace softstep::heads
