#pragma once

// Blocks of rows of T between the arrays of a call and the products.

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "core/heads/blocks.h"
#include "core/heads/store_rows.h"
#include "simd/dispatch.h"

namespace softstep::linear_heads {

/// Rows with a distance that the products take; T is const where they are read.
template <class T>
struct Block {
  T* data = nullptr;
  std::size_t ld = 0;
  T* row(std::size_t r) const { return data + r * ld; }
  /// From row r and column c on.
  Block at(std::size_t r, std::size_t c = 0) const { return {data + r * ld + c, ld}; }
  operator Block<const T>() const requires(!std::is_const_v<T>) { return {data, ld}; }
};

/// Which rows of an array: `n` from `first` on, of head `head` of the batch entry `batch`. A ragged array has
/// `before` rows of other entries before them.
struct RowsPlace {
  std::size_t batch, head, before, first, n;
};

template <class T, class Half>
auto* place_of(const heads::StoredRows<T, Half>& array, const RowsPlace& at) {
  return array.numbers + array.place(at.batch, at.head, at.before, at.first);
}

/// Rows as the products can read them: where they lie, or times `scale` in `buffer` [n, columns].
template <class T>
Block<const T> read_rows(const simd::Kernels<T>& kernels, const heads::InputRows<T>& array,
                         std::size_t columns, const RowsPlace& at, T* buffer, T scale = T(1)) {
  const std::ptrdiff_t start = array.place(at.batch, at.head, at.before, at.first);
  if (!array.in_halves() && scale == T(1) && array.row >= static_cast<std::ptrdiff_t>(columns))
    return {array.numbers + start, static_cast<std::size_t>(array.row)};
  heads::pack(kernels, array, start, at.n, columns, scale, buffer, columns);
  return {buffer, columns};
}

/// Where rows are to be made: in place, or in `buffer` [n, columns] from where finish_rows moves them.
template <class T>
Block<T> make_rows(const heads::OutputRows<T>& array, std::size_t columns, const RowsPlace& at, T* buffer) {
  if (array.numbers != nullptr && array.row >= static_cast<std::ptrdiff_t>(columns))
    return {place_of(array, at), static_cast<std::size_t>(array.row)};
  return {buffer, columns};
}

template <class T>
void finish_rows(const heads::OutputRows<T>& array, std::size_t columns, const RowsPlace& at,
                 const Block<T>& made) {
  if (array.numbers != nullptr && made.data == place_of(array, at)) return;
  for (std::size_t r = 0; r < at.n; ++r)
    heads::store_row(made.row(r), columns, array, array.place(at.batch, at.head, at.before, at.first + r));
}

template <class T>
void zero_rows(const heads::OutputRows<T>& array, std::size_t columns, const RowsPlace& at) {
  for (std::size_t r = 0; r < at.n; ++r) {
    const std::ptrdiff_t start = array.place(at.batch, at.head, at.before, at.first + r);
    if (array.in_halves())
      std::fill_n(array.halves + start, columns, std::uint16_t{0});
    else
      std::fill_n(array.numbers + start, columns, T(0));
  }
}

}  // namespace softstep::linear_heads
