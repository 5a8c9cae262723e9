#pragma once

// Matrices in the order in which product_panels reads its second factor (simd/kernels/product_panels.h).

#include <algorithm>
#include <cstddef>

#include "simd/dispatch.h"

namespace softstep {

/// Rows of a matrix, `ld` apart.
template <class T>
struct PlainRows {
  const T* rows;
  std::size_t ld;
};

/// Numbers that a matrix of n_rows x n_columns takes in panels.
inline std::size_t panels_size(std::size_t n_rows, std::size_t n_columns, std::size_t tile_columns) {
  return (n_columns + tile_columns - 1) / tile_columns * tile_columns * n_rows;
}
/// The columns that a last panel lacks are multiplied too, and go nowhere; as numbers they raise no flag.
template <class T>
void clear_panel(const simd::Kernels<T>& kernels, std::size_t n_rows, T* panel) {
  std::fill_n(panel, n_rows * kernels.tile_columns, T(0));
}
/// Rows of a block in panels for product_panels.
template <class T>
void pack_panels(const simd::Kernels<T>& kernels, const PlainRows<T>& rows, std::size_t n_rows,
                 std::size_t n_columns, T* panels) {
  simd::PackArgs<T> args{};
  args.n_rows = n_rows;
  args.stride = static_cast<std::ptrdiff_t>(rows.ld);
  args.scale = T(1);
  args.ld = kernels.tile_columns;
  for (std::size_t j = 0; j < n_columns; j += kernels.tile_columns) {
    args.n_columns = std::min(kernels.tile_columns, n_columns - j);
    if (args.n_columns < kernels.tile_columns) clear_panel(kernels, n_rows, panels + j * n_rows);
    args.rows = rows.rows + j;
    args.out = panels + j * n_rows;
    kernels.pack_rows(args);
  }
}
/// The same of the transpose: a column of the panels for each row.
template <class T>
void pack_transposed(const simd::Kernels<T>& kernels, const PlainRows<T>& rows, std::size_t n_rows,
                     std::size_t n_columns, T* panels) {
  for (std::size_t r = 0; r < n_rows; r += kernels.tile_columns) {
    const std::size_t count = std::min(kernels.tile_columns, n_rows - r);
    T* panel = panels + r * n_columns;
    if (count < kernels.tile_columns) clear_panel(kernels, n_columns, panel);
    kernels.transpose({count, n_columns, rows.rows + r * rows.ld, static_cast<std::ptrdiff_t>(rows.ld), panel,
                       kernels.tile_columns});
  }
}

}  // namespace softstep
