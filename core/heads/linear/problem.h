#pragma once

// One call, checked, and what its parts share.

#include <cstddef>

#include "core/data/finite.h"
#include "core/heads/blocks.h"
#include "core/heads/geometry.h"
#include "core/heads/linear/arrays.h"
#include "simd/dispatch.h"
#include "softstep/linear_attention.h"

namespace softstep::linear_heads {

using heads::WorkSpace;

/// Positions that go through matrix products together.
constexpr std::size_t chunk_size = 64;

template <class T>
struct Problem {
  heads::Geometry geometry;
  const simd::Kernels<T>* kernels;
  bool causal;
  HeadGates gates;
  std::size_t gate_columns;  ///< 0, 1 or dim
  T scale;
  heads::InputRows<T> queries, keys, values, log_gates;

  /// Checks everything but outputs.
  Problem(const LinearAttentionInputs<T>& inputs, const LinearAttentionOptions& options);
  /// Throws InvalidArgument if an output lies on an input.
  void require_apart_from_inputs(const heads::Extent& output) const;

  std::size_t state_size() const { return geometry.dim * geometry.value_dim; }
  /// Chunks of the longest entry without padding, at least one.
  std::size_t most_chunks() const;
  /// Key heads of all batch entries.
  std::size_t n_tasks() const { return geometry.batch * geometry.n_key_heads; }
};

/// One key head of one batch entry.
template <class T>
struct Task {
  std::size_t batch, key_head, n_queries, n_keys;

  Task(const Problem<T>& p, std::size_t index)
      : batch(index / p.geometry.n_key_heads),
        key_head(index % p.geometry.n_key_heads),
        n_queries(p.geometry.queries_of(batch)),
        n_keys(p.geometry.keys_of(batch)) {}

  std::size_t n_chunks() const { return (n_keys + chunk_size - 1) / chunk_size; }
  RowsPlace keys(const Problem<T>& p, std::size_t first, std::size_t n) const {
    return {batch, key_head, p.geometry.first_key(batch), first, n};
  }
  /// Of head `g` of the group.
  RowsPlace queries(const Problem<T>& p, std::size_t g, std::size_t first, std::size_t n) const {
    return {batch, key_head * p.geometry.group + g, p.geometry.first_query(batch), first, n};
  }
  /// Queries that stand before the first key; the others stand beside the last keys.
  std::size_t n_blind() const { return n_queries > n_keys ? n_queries - n_keys : 0; }
};

/// The positions of a chunk: keys first_key .. first_key + n - 1, and beside the keys from local position
/// `offset` on the n - offset queries from first_query on.
struct Chunk {
  std::size_t first_key, n, offset, first_query;
  std::size_t n_queries() const { return n - offset; }
};

template <class T>
Chunk chunk_of(const Task<T>& task, std::size_t c) {
  const std::size_t first = c * chunk_size, n = std::min(chunk_size, task.n_keys - first);
  // Key t stands beside query t + m - n.
  const std::size_t seen = first + task.n_queries;  // query index of the first key, plus n_keys
  if (seen >= task.n_keys) return {first, n, 0, seen - task.n_keys};
  return {first, n, std::min(n, task.n_keys - seen), 0};
}

/// The products, without sizes of 0.
template <class T>
struct Products {
  const simd::Kernels<T>& kernels;

  /// C [+]= A B, A m x k.
  void nn(std::size_t m, std::size_t n, std::size_t k, Block<const T> a, Block<const T> b, Block<T> c,
          bool add = false) const {
    if (m != 0 && n != 0) kernels.product_nn({m, n, k, a.data, a.ld, b.data, b.ld, c.data, c.ld, add, T(1)});
  }
  /// C [+]= A^T B, A k x m.
  void tn(std::size_t m, std::size_t n, std::size_t k, Block<const T> a, Block<const T> b, Block<T> c,
          bool add = false) const {
    if (m != 0 && n != 0) kernels.product_tn({m, n, k, a.data, a.ld, b.data, b.ld, c.data, c.ld, add, T(1)});
  }
  /// out [columns x rows] = in^T
  void transpose(std::size_t rows, std::size_t columns, Block<const T> in, Block<T> out) const {
    kernels.transpose({rows, columns, in.data, static_cast<std::ptrdiff_t>(in.ld), out.data, out.ld});
  }
};

template <class T>
bool all_finite(const Block<const T>& block, std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r)
    if (!data::all_finite(block.row(r), columns)) return false;
  return true;
}

}  // namespace softstep::linear_heads
