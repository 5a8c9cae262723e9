#pragma once

// The sizes, strides and masks of one call of attention over heads, checked once and resolved to plain
// numbers.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "simd/dispatch.h"
#include "softstep/attention.h"

namespace softstep::heads {

/// Whether an array runs along the queries or the keys of a batch entry.
enum class Axis { queries, keys };

/// Rows of an array that is read, or written (Element is const or not).
template <class T, class Half>
struct StoredRows {
  T* numbers = nullptr;
  Half* halves = nullptr;
  StoredType storage = StoredType::working;
  std::ptrdiff_t batch = 0, head = 0, row = 0;  ///< strides

  bool wanted() const { return numbers != nullptr || halves != nullptr; }
  bool in_halves() const { return halves != nullptr; }
  /// Place of row i, counted from the first of this batch entry; `first` is the rows before it in a ragged
  /// array.
  std::ptrdiff_t place(std::size_t b, std::size_t h, std::size_t first, std::size_t i) const {
    return static_cast<std::ptrdiff_t>(b) * batch + static_cast<std::ptrdiff_t>(h) * head +
           static_cast<std::ptrdiff_t>(first + i) * row;
  }
};
template <class T>
using InputRows = StoredRows<const T, const std::uint16_t>;
template <class T>
using OutputRows = StoredRows<T, std::uint16_t>;

/// Keys that a query sees: begin .. end-1; none if begin == end.
struct KeyRange {
  std::size_t begin, end;
};

class Geometry {
 public:
  /// Throws InvalidArgument naming the field that is wrong.
  Geometry(const HeadsShape& shape, const HeadsOptions& options);

  std::size_t batch, n_heads, n_key_heads, group;  ///< group = n_heads / n_key_heads
  std::size_t dim, value_dim;
  double scale, soft_cap;
  bool ragged;

  std::size_t queries_of(std::size_t b) const { return rows_of(b, mask_.query_offsets, n_queries_); }
  /// Keys before this one are seen by no query of the entry: those ahead of a window. The first query sees
  /// furthest ahead, or none sees past the first key.
  std::size_t first_seen_key(std::size_t b) const { return queries_of(b) == 0 ? 0 : seen_by(b, 0).begin; }
  /// Keys from this one on are seen by no query either: the padding. The last query sees furthest behind.
  std::size_t end_seen_key(std::size_t b) const { return queries_of(b) == 0 ? 0 : keys_of(b); }
  /// Without the padding.
  std::size_t keys_of(std::size_t b) const {
    return mask_.key_lengths.empty() ? stored_keys_of(b) : static_cast<std::size_t>(mask_.key_lengths[b]);
  }
  /// With the padding.
  std::size_t stored_keys_of(std::size_t b) const { return rows_of(b, mask_.key_offsets, n_keys_); }
  /// Rows of a ragged array before those of b; 0 if not ragged.
  std::size_t first_query(std::size_t b) const { return first_of(b, mask_.query_offsets); }
  std::size_t first_key(std::size_t b) const { return first_of(b, mask_.key_offsets); }
  /// Query rows in all of the batch, of one head.
  std::size_t total_queries() const { return total(mask_.query_offsets, n_queries_); }
  std::size_t total_keys() const { return total(mask_.key_offsets, n_keys_); }
  std::size_t most_queries() const { return most_queries_; }
  std::size_t most_keys() const { return most_keys_; }
  KeyRange seen_by(std::size_t b, std::size_t i) const;

  /// Place of a query's row in arrays [B, H, Tq], or [H, rows] if ragged.
  std::size_t row_place(std::size_t b, std::size_t h, std::size_t i) const {
    return ragged ? h * total_queries() + first_query(b) + i : (b * n_heads + h) * n_queries_ + i;
  }
  /// The rows of a key head's group follow each other: row r of it is query r % m of the group's head r / m.
  /// Place of the first of them among all rows, in the order of batch entries and key heads.
  std::size_t first_row(std::size_t b, std::size_t key_head) const {
    const std::size_t before = ragged ? first_query(b) : b * n_queries_;
    return before * n_heads + key_head * group * queries_of(b);
  }
  std::size_t total_rows() const { return total_queries() * n_heads; }
  /// Multiply-adds of one product of queries and keys with d or dv columns.
  double work() const;

  /// Checks an array of rows on an axis against these sizes.
  template <class T>
  InputRows<T> input(const HeadsView<T>& array, Axis axis, std::size_t columns, const char* name) const;
  template <class T>
  OutputRows<T> output(const HeadsSpan<T>& array, Axis axis, std::size_t columns, const char* name) const;

 private:
  std::size_t rows_of(std::size_t b, std::span<const std::int64_t> offsets, std::size_t uniform) const {
    return offsets.empty() ? uniform : static_cast<std::size_t>(offsets[b + 1] - offsets[b]);
  }
  std::size_t first_of(std::size_t b, std::span<const std::int64_t> offsets) const {
    return offsets.empty() ? 0 : static_cast<std::size_t>(offsets[b]);
  }
  std::size_t total(std::span<const std::int64_t> offsets, std::size_t uniform) const {
    return offsets.empty() ? batch * uniform : static_cast<std::size_t>(offsets.back());
  }

  HeadsMask mask_;
  std::size_t n_queries_, n_keys_, most_queries_ = 0, most_keys_ = 0;
};

/// A factor as a number of T. Throws InvalidArgument unless it is 0 or a normal number there: a subnormal one
/// has lost digits.
template <class T>
T normal_or_zero(double factor, const char* name);

/// Part of memory that an array's elements lie in, and how.
struct Extent {
  const char* name;
  std::uintptr_t begin = 0, end = 0;            ///< bytes
  std::ptrdiff_t batch = 0, head = 0, row = 0;  ///< bytes
  std::size_t heads = 0, columns = 0;           ///< columns in bytes
};
template <class T, class Half>
Extent extent_of(const Geometry& geometry, const StoredRows<T, Half>& rows, Axis axis, std::size_t columns,
                 const char* name);
/// Of numbers that follow each other.
template <class T>
Extent flat_extent(std::span<T> numbers, const char* name) {
  const auto begin = reinterpret_cast<std::uintptr_t>(numbers.data());
  return {name, begin, begin + numbers.size_bytes()};
}
/// Throws InvalidArgument unless elements of an output can be told not to lie on those of another array.
void require_apart(const Extent& output, const Extent& other);

}  // namespace softstep::heads
