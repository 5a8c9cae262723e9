#pragma once

// A chunk's keys, values and gates as the products read them, and the scores of a head's queries in it.

#include <cstddef>

#include "core/heads/linear/gates.h"
#include "core/heads/linear/problem.h"

namespace softstep::linear_heads {

/// Scores above the diagonal are left out by blocks of so many rows or columns.
constexpr std::size_t triangle_step = 16;

template <class T>
struct ChunkKeys {
  Chunk at;
  Block<const T> keys, values;
  ChunkGates<T> gates;
  Block<const T> last_keys;  ///< keys times the gates after them in the chunk
  Block<T> turned;           ///< K^T, ld = chunk_size; without vector gates
  /// Vector gates: keys of the earlier halves times levels, and their transpose.
  Block<T> decayed[n_levels], turned_decayed[n_levels];
  bool finite;

  T *key_buffer, *value_buffer, *log_buffer, *last_buffer;

  static std::size_t pieces(const Problem<T>& p) {
    const std::size_t d = p.geometry.dim, columns = p.gate_columns,
                      rows = WorkSpace<T>::rounded(chunk_size * d);
    return ChunkGates<T>::pieces(columns) + WorkSpace<T>::rounded(chunk_size * p.geometry.value_dim) +
           WorkSpace<T>::rounded(chunk_size * columns) + 3 * rows + (columns > 1 ? 2 * n_levels * rows : 0);
  }
  ChunkKeys(const Problem<T>& p, WorkSpace<T>& memory) {
    const std::size_t d = p.geometry.dim;
    gates.take(memory, p.gate_columns);
    key_buffer = memory.take(chunk_size * d);
    value_buffer = memory.take(chunk_size * p.geometry.value_dim);
    log_buffer = memory.take(chunk_size * p.gate_columns);
    last_buffer = memory.take(chunk_size * d);
    turned = {memory.take(chunk_size * d), chunk_size};
    if (p.gate_columns > 1)
      for (std::size_t level = 0; level < n_levels; ++level) {
        decayed[level] = {memory.take(chunk_size * d), d};
        turned_decayed[level] = {memory.take(chunk_size * d), chunk_size};
      }
  }

  /// `within`: also what scores in the chunk take.
  void load(const Problem<T>& p, const Task<T>& task, std::size_t c, bool within) {
    const std::size_t d = p.geometry.dim;
    at = chunk_of(task, c);
    const RowsPlace place = task.keys(p, at.first_key, at.n);
    keys = read_rows(*p.kernels, p.keys, d, place, key_buffer);
    values = read_rows(*p.kernels, p.values, p.geometry.value_dim, place, value_buffer);
    last_keys = keys;
    if (gates.columns != 0) {
      const Block<const T> logs = read_rows(*p.kernels, p.log_gates, gates.columns, place, log_buffer);
      gates.load(*p.kernels, logs, at.n, within);
      const Block<T> last{last_buffer, d};
      multiply_rows<T>(at.n, d, keys, gates.until_end, gates.columns, last);
      last_keys = last;
    }
    if (!within) return;
    finite = all_finite(keys, at.n, d) && all_finite(values, at.n, p.geometry.value_dim);
    const Products<T> products{*p.kernels};
    if (gates.columns <= 1) return products.transpose(at.n, d, keys, turned);
    for (std::size_t level = 0; level < n_levels; ++level)
      for_blocks(level, [&](std::size_t low, std::size_t middle, std::size_t) {
        multiply_rows<T>(middle - low, d, keys.at(low), gates.levels[level].at(low), d,
                         decayed[level].at(low));
        products.transpose(middle - low, d, decayed[level].at(low), turned_decayed[level].at(0, low));
      });
  }

  /// body(low, middle, high) for the blocks of a level that have two halves.
  template <class Body>
  void for_blocks(std::size_t level, Body body) const {
    const std::size_t half = chunk_size >> (level + 1);
    for (std::size_t low = 0; low + half < at.n; low += 2 * half)
      body(low, low + half, std::min(at.n, low + 2 * half));
  }
  /// Rows of blocks above.
  std::size_t step(bool queries_finite) const { return finite && queries_finite ? triangle_step : 1; }
};

/// Rows r = 0 .. n - offset - 1 of queries stand at positions offset + r; row r of a triangle has columns up
/// to there. Columns up to a step further are 0.
struct Triangle {
  std::size_t n, offset, step;
  std::size_t rows() const { return n - offset; }
  std::size_t columns_up_to(std::size_t last_row) const { return offset + last_row + 1; }
};

template <class T>
void clear_above(const Triangle& in, std::size_t first, std::size_t last, Block<T> out) {
  for (std::size_t r = first; r < last; ++r) {
    const std::size_t begin = in.columns_up_to(r), end = std::min(in.n, begin + in.step);
    std::fill(out.row(r) + begin, out.row(r) + end, T(0));
  }
}

/// out_rj = left_r . right_j, right turned.
template <class T>
void triangle_product(const Products<T>& products, const Triangle& in, std::size_t depth, Block<const T> left,
                      Block<const T> turned_right, Block<T> out) {
  for (std::size_t r = 0; r < in.rows(); r += in.step) {
    const std::size_t end = std::min(in.rows(), r + in.step);
    products.nn(end - r, in.columns_up_to(end - 1), depth, left.at(r), turned_right, out.at(r));
    clear_above(in, r, end, out);
  }
}

/// out_r [+]= sum_j triangle_rj right_j
template <class T>
void triangle_times_rows(const Products<T>& products, const Triangle& in, std::size_t columns,
                         Block<const T> triangle, Block<const T> right, Block<T> out, bool add) {
  for (std::size_t r = 0; r < in.rows(); r += in.step) {
    const std::size_t end = std::min(in.rows(), r + in.step);
    products.nn(end - r, columns, in.columns_up_to(end - 1), triangle.at(r), right, out.at(r), add);
  }
}

/// out_j += sum_r triangle_rj right_r
template <class T>
void add_turned_triangle_times_rows(const Products<T>& products, const Triangle& in, std::size_t columns,
                                    Block<const T> triangle, Block<const T> right, Block<T> out) {
  for (std::size_t j = 0; j < in.n; j += in.step) {
    const std::size_t end = std::min(in.n, j + in.step), r = j > in.offset ? j - in.offset : 0;
    if (r < in.rows())
      products.tn(end - j, columns, in.rows() - r, triangle.at(r, j), right.at(r), out.at(j), true);
  }
}

template <class T>
T dot(std::size_t n, const T* a, const T* b) {
  constexpr std::size_t lanes = 8;
  T sums[lanes] = {};
  std::size_t l = 0;
  for (; l + lanes <= n; l += lanes)
    for (std::size_t k = 0; k < lanes; ++k) sums[k] += a[l + k] * b[l + k];
  for (std::size_t k = 0; l < n; ++l, ++k) sums[k] += a[l] * b[l];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/// The scores q_r . k_j, each with its decay. `work`: [chunk_size, dim].
template <class T>
void chunk_scores(const Problem<T>& p, const ChunkKeys<T>& keys, const Triangle& in, Block<const T> queries,
                  Block<T> work, Block<T> out) {
  const Products<T> products{*p.kernels};
  const std::size_t d = p.geometry.dim, offset = in.offset;
  if (p.gate_columns <= 1) {
    triangle_product<T>(products, in, d, queries, keys.turned, out);
    if (p.gate_columns == 1)
      for (std::size_t r = 0; r < in.rows(); ++r) {
        const T* decays = keys.gates.pairs.row(offset + r);
        T* row = out.row(r);
        for (std::size_t j = 0; j <= offset + r; ++j) row[j] *= decays[j];
      }
    return;
  }
  for (std::size_t level = 0; level < n_levels; ++level)
    keys.for_blocks(level, [&](std::size_t low, std::size_t middle, std::size_t high) {
      const std::size_t first = std::max(middle, offset);
      if (first >= high) return;
      const std::size_t r = first - offset, n = high - first;
      multiply_rows<T>(n, d, queries.at(r), keys.gates.levels[level].at(first), d, work);
      products.nn(n, middle - low, d, work, keys.turned_decayed[level].at(0, low), out.at(r, low));
    });
  T* moving = work.data;
  for (std::size_t low = 0; low < in.n; low += leaf_size) {
    const std::size_t high = std::min(in.n, low + leaf_size);
    if (high <= offset) continue;
    for (std::size_t j = low; j < high; ++j) {
      std::copy(keys.keys.row(j), keys.keys.row(j) + d, moving);
      for (std::size_t t = j; t < high; ++t) {
        if (t > j) {
          const T* gate = keys.gates.gates.row(t);
          for (std::size_t l = 0; l < d; ++l) moving[l] *= gate[l];
        }
        if (t >= offset) out.row(t - offset)[j] = dot(d, queries.row(t - offset), moving);
      }
    }
  }
  clear_above(in, 0, in.rows(), out);
}

}  // namespace softstep::linear_heads
