#pragma once

// The gates of a chunk as decays: products of gates between two positions (docs/mathematics.md, section
// 12.2). Every decay is a running product from a position where it is 1; none is a quotient, and none leaves
// [0, 1]. A product below the smallest normal number becomes 0.

#include <cstddef>
#include <limits>

#include "core/heads/linear/problem.h"

namespace softstep::linear_heads {

/// Pairs of positions within so many are taken one by one where gates are vectors; between larger blocks they
/// go through products.
constexpr std::size_t leaf_size = 8;
/// Blocks of chunk_size / 2, / 4, .. down to leaf_size.
constexpr std::size_t n_levels = 3;
static_assert(chunk_size >> n_levels == leaf_size);

template <class T>
T decay(T a, T b) {
  const T product = a * b;
  return product < std::numeric_limits<T>::min() ? T(0) : product;
}

/// Row t of `out`: the product of the gates begin .. t.
template <class T>
void decays_since(Block<const T> gates, std::size_t columns, std::size_t begin, std::size_t end,
                  Block<T> out) {
  for (std::size_t t = begin; t < end; ++t) {
    const T* gate = gates.row(t);
    T* row = out.row(t);
    if (t == begin) {
      std::copy(gate, gate + columns, row);
    } else {
      const T* before = out.row(t - 1);
      for (std::size_t l = 0; l < columns; ++l) row[l] = decay(before[l], gate[l]);
    }
  }
}

/// Row t of `out`: the product of the gates t + 1 .. end - 1.
template <class T>
void decays_until(Block<const T> gates, std::size_t columns, std::size_t begin, std::size_t end,
                  Block<T> out) {
  for (std::size_t t = end; t-- > begin;) {
    T* row = out.row(t);
    if (t + 1 == end) {
      std::fill_n(row, columns, T(1));
    } else {
      const T *after = out.row(t + 1), *gate = gates.row(t + 1);
      for (std::size_t l = 0; l < columns; ++l) row[l] = decay(after[l], gate[l]);
    }
  }
}

/// out_tl = in_tl decays_tl for n rows; `columns` of the decays is 1 or dim.
template <class T>
void multiply_rows(std::size_t n, std::size_t dim, Block<const T> in, Block<const T> decays,
                   std::size_t columns, Block<T> out) {
  for (std::size_t t = 0; t < n; ++t) {
    const T *x = in.row(t), *w = decays.row(t);
    T* y = out.row(t);
    if (columns == 1) {
      const T factor = w[0];
      for (std::size_t l = 0; l < dim; ++l) y[l] = x[l] * factor;
    } else {
      for (std::size_t l = 0; l < dim; ++l) y[l] = x[l] * w[l];
    }
  }
}

template <class T>
struct ChunkGates {
  std::size_t columns = 0;  ///< 0: no gates
  Block<T> gates;           ///< g_t
  Block<T> since_start;     ///< the product of the chunk's gates up to t, g_t with it
  Block<T> until_end;       ///< the product of those after t
  Block<T> pairs;           ///< scalar gates: row t, column j <= t: the product of j + 1 .. t
  /// Vector gates: blocks of 2 h positions, h = chunk_size >> (level + 1), have their middle m at h. Row t:
  /// the product of m .. t in the later half, of t + 1 .. m - 1 in the earlier one.
  Block<T> levels[n_levels];

  static std::size_t pieces(std::size_t columns) {
    const std::size_t rows = WorkSpace<T>::rounded(chunk_size * columns);
    if (columns == 0) return 0;
    return 3 * rows + (columns == 1 ? WorkSpace<T>::rounded(chunk_size * chunk_size) : n_levels * rows);
  }
  void take(WorkSpace<T>& memory, std::size_t n_columns) {
    columns = n_columns;
    if (columns == 0) return;
    for (Block<T>* block : {&gates, &since_start, &until_end})
      *block = {memory.take(chunk_size * columns), columns};
    if (columns == 1)
      pairs = {memory.take(chunk_size * chunk_size), chunk_size};
    else
      for (Block<T>& level : levels) level = {memory.take(chunk_size * columns), columns};
  }

  /// From the logarithms of n gates. `within`: also the decays between positions of the chunk.
  void load(const simd::Kernels<T>& kernels, Block<const T> logs, std::size_t n, bool within) {
    for (std::size_t t = 0; t < n; ++t) kernels.exp_nonpositive(logs.row(t), gates.row(t), columns);
    decays_since<T>(gates, columns, 0, n, since_start);
    decays_until<T>(gates, columns, 0, n, until_end);
    if (!within) return;
    if (columns == 1) {
      for (std::size_t t = 0; t < n; ++t) {
        const T gate = *gates.row(t);
        T* row = pairs.row(t);
        if (t > 0) {
          const T* before = pairs.row(t - 1);
          for (std::size_t j = 0; j < t; ++j) row[j] = decay(before[j], gate);
        }
        row[t] = T(1);
      }
      return;
    }
    for (std::size_t level = 0; level < n_levels; ++level) {
      const std::size_t half = chunk_size >> (level + 1);
      for (std::size_t low = 0; low + half < n; low += 2 * half) {
        decays_until<T>(gates, columns, low, low + half, levels[level]);
        decays_since<T>(gates, columns, low + half, std::min(n, low + 2 * half), levels[level]);
      }
    }
  }
  const T* whole(std::size_t n) const { return since_start.row(n - 1); }
};

}  // namespace softstep::linear_heads
