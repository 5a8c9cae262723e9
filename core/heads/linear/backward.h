#pragma once

// The backward pass of a causal head (docs/mathematics.md, section 12.3): the states before all chunks, as in
// the forward pass but transposed; then from the last chunk to the first the gradient D by the state after
// each, and with both the gradients by the chunk's queries, keys, values and gates.

#include "core/heads/linear/chunk.h"
#include "core/heads/linear/gate_gradient.h"
#include "core/heads/linear/states.h"

namespace softstep::linear_heads {

template <class T>
struct Gradients {
  heads::OutputRows<T> queries, keys, values, log_gates;
  bool by_state() const { return keys.wanted() || values.wanted() || log_gates.wanted(); }
};

template <class T>
struct BackwardWork {
  WorkSpace<T> memory;
  ChunkKeys<T> keys;
  T *query_buffer, *slope_buffer, *query_gradient_buffer, *key_gradient_buffer, *value_gradient_buffer;
  Block<T> work, product;            ///< [chunk_size, dim]
  Block<T> turned_values;            ///< V^T, ld = chunk_size
  Block<T> turned_later;             ///< D^T
  Block<T> scores, slopes, crossed;  ///< [chunk_size, chunk_size]
  GateGradient<T> gate_gradient;

  static std::size_t pieces(const Problem<T>& p) {
    const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim;
    return ChunkKeys<T>::pieces(p) + 5 * WorkSpace<T>::rounded(chunk_size * d) +
           3 * WorkSpace<T>::rounded(chunk_size * dv) + WorkSpace<T>::rounded(d * dv) +
           3 * WorkSpace<T>::rounded(chunk_size * chunk_size) + GateGradient<T>::pieces(p);
  }
  explicit BackwardWork(const Problem<T>& p) : memory(pieces(p)), keys(p, memory), gate_gradient(p, memory) {
    const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim;
    for (T** buffer : {&query_buffer, &query_gradient_buffer, &key_gradient_buffer})
      *buffer = memory.take(chunk_size * d);
    for (T** buffer : {&slope_buffer, &value_gradient_buffer}) *buffer = memory.take(chunk_size * dv);
    work = {memory.take(chunk_size * d), d};
    product = {memory.take(chunk_size * d), d};
    turned_values = {memory.take(chunk_size * dv), chunk_size};
    turned_later = {memory.take(d * dv), d};
    for (Block<T>* block : {&scores, &slopes, &crossed})
      *block = {memory.take(chunk_size * chunk_size), chunk_size};
  }
};

/// The part of the gradients that goes through pairs of positions within the chunk: dq += dA K and dk += dA^T
/// Q, each pair with its decay. `slopes` holds dO_r . v_j.
template <class T>
void chunk_pairs(const Problem<T>& p, const Triangle& in, Block<const T> queries, Block<T> query_gradient,
                 bool add_to_queries, Block<T> key_gradient, BackwardWork<T>& work) {
  const Products<T> products{*p.kernels};
  const ChunkKeys<T>& keys = work.keys;
  const std::size_t d = p.geometry.dim, offset = in.offset;
  if (p.gate_columns <= 1) {
    if (p.gate_columns == 1) {
      work.gate_gradient.add_pairs(in, work.scores, work.slopes);
      for (std::size_t r = 0; r < in.rows(); ++r) {
        const T* decays = keys.gates.pairs.row(offset + r);
        T* row = work.slopes.row(r);
        for (std::size_t j = 0; j <= offset + r; ++j) row[j] *= decays[j];
      }
    }
    triangle_times_rows<T>(products, in, d, work.slopes, keys.keys, query_gradient, add_to_queries);
    add_turned_triangle_times_rows<T>(products, in, d, work.slopes, queries, key_gradient);
    return;
  }
  if (!add_to_queries)
    for (std::size_t r = 0; r < in.rows(); ++r) std::fill_n(query_gradient.row(r), d, T(0));
  for (std::size_t level = 0; level < n_levels; ++level)
    keys.for_blocks(level, [&](std::size_t low, std::size_t middle, std::size_t high) {
      const std::size_t first = std::max(middle, offset);
      if (first >= high) return;
      const std::size_t r = first - offset, n = high - first, n_keys = middle - low;
      const Block<const T> decays = keys.gates.levels[level];
      const Block<const T> slopes = work.slopes.at(r, low);
      multiply_rows<T>(n, d, queries.at(r), decays.at(first), d, work.work);
      products.nn(n, d, n_keys, slopes, keys.decayed[level].at(low), work.product);
      work.gate_gradient.add_queries(first, high, middle, work.work, work.product);
      add_multiplied<T>(n, d, work.product, decays.at(first), d, query_gradient.at(r));
      products.tn(n_keys, d, n, slopes, work.work, work.product);
      work.gate_gradient.add_keys(low, middle, keys.decayed[level].at(low), work.product);
      add_multiplied<T>(n_keys, d, work.product, decays.at(low), d, key_gradient.at(low));
    });
  T *moved = work.work.data, *sum = work.product.data;
  for (std::size_t low = 0; low < in.n; low += leaf_size) {
    const std::size_t high = std::min(in.n, low + leaf_size);
    if (high <= offset) continue;
    for (std::size_t j = low; j < high; ++j) {
      for (std::size_t t = j; t < high; ++t) {  // k_j times the gates up to t
        T* row = moved + (t - j) * d;
        if (t == j) {
          std::copy_n(keys.keys.row(j), d, row);
        } else {
          const T* gate = keys.gates.gates.row(t);
          for (std::size_t l = 0; l < d; ++l) row[l] = row[l - d] * gate[l];
        }
      }
      std::fill_n(sum, d, T(0));  // what later queries give, with the gates down to t
      for (std::size_t t = high; t-- > j;) {
        const T* row = moved + (t - j) * d;
        if (t >= offset) {
          const T slope = work.slopes.row(t - offset)[j];
          const T* query = queries.row(t - offset);
          T* gradient = query_gradient.row(t - offset);
          for (std::size_t l = 0; l < d; ++l) {
            sum[l] += slope * query[l];
            gradient[l] += slope * row[l];
          }
        }
        if (t == j) break;
        const T* gate = keys.gates.gates.row(t);
        work.gate_gradient.add_at(t, sum, row);
        for (std::size_t l = 0; l < d; ++l) sum[l] *= gate[l];
      }
      T* gradient = key_gradient.row(j);
      for (std::size_t l = 0; l < d; ++l) gradient[l] += sum[l];
    }
  }
}

/// The gradients of the loaded chunk. `turned_state`: S^T before it, or null; `later`: D after it, or null.
template <class T>
void backward_chunk(const Problem<T>& p, const Task<T>& task, const T* turned_state, const T* later,
                    const T* decay, const heads::InputRows<T>& output_gradient, const Gradients<T>& gradients,
                    BackwardWork<T>& work) {
  const Products<T> products{*p.kernels};
  const ChunkKeys<T>& keys = work.keys;
  const Chunk& at = keys.at;
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim, n_queries = at.n_queries();
  const RowsPlace key_place = task.keys(p, at.first_key, at.n);
  const Block<T> key_gradient = gradients.keys.wanted()
                                    ? make_rows(gradients.keys, d, key_place, work.key_gradient_buffer)
                                    : Block<T>{work.key_gradient_buffer, d};
  const Block<T> value_gradient = gradients.values.wanted()
                                      ? make_rows(gradients.values, dv, key_place, work.value_gradient_buffer)
                                      : Block<T>{work.value_gradient_buffer, dv};
  GateGradient<T>& gate_gradient = work.gate_gradient;
  gate_gradient.begin(at.n, gradients.log_gates.wanted());
  if (later != nullptr) {
    products.transpose(d, dv, {later, dv}, work.turned_later);
    if (gate_gradient.wanted && turned_state != nullptr)
      gate_gradient.add_through(turned_state, work.turned_later.data, dv, decay);
    products.nn(at.n, d, dv, keys.values, work.turned_later, key_gradient);
    if (p.gate_columns != 0) {
      gate_gradient.add_chunk_keys(keys.last_keys, key_gradient);
      multiply_rows<T>(at.n, d, key_gradient, keys.gates.until_end, p.gate_columns, key_gradient);
    }
    products.nn(at.n, dv, d, keys.last_keys, {later, dv}, value_gradient);
  } else {
    for (std::size_t t = 0; t < at.n; ++t) {
      std::fill_n(key_gradient.row(t), d, T(0));
      std::fill_n(value_gradient.row(t), dv, T(0));
    }
  }
  if (n_queries != 0) products.transpose(at.n, dv, keys.values, work.turned_values);
  for (std::size_t g = 0; g < p.geometry.group && n_queries != 0; ++g) {
    const RowsPlace place = task.queries(p, g, at.first_query, n_queries);
    const Block<const T> queries = read_rows(*p.kernels, p.queries, d, place, work.query_buffer, p.scale);
    const Block<const T> slopes = read_rows(*p.kernels, output_gradient, dv, place, work.slope_buffer);
    const Triangle triangle{
        at.n, at.offset, keys.step(all_finite(queries, n_queries, d) && all_finite(slopes, n_queries, dv))};
    const Block<T> query_gradient = gradients.queries.wanted()
                                        ? make_rows(gradients.queries, d, place, work.query_gradient_buffer)
                                        : Block<T>{work.query_gradient_buffer, d};
    chunk_scores<T>(p, keys, triangle, queries, work.work, work.scores);
    triangle_product<T>(products, triangle, dv, slopes, work.turned_values, work.slopes);
    add_turned_triangle_times_rows<T>(products, triangle, dv, work.scores, slopes, value_gradient);
    if (turned_state != nullptr) {
      products.nn(n_queries, d, dv, slopes, {turned_state, d}, query_gradient);
      if (p.gate_columns != 0) {
        const Block<const T> decays = keys.gates.since_start.at(at.offset);
        if (gate_gradient.wanted) {
          multiply_rows<T>(n_queries, d, queries, decays, p.gate_columns, work.work);
          gate_gradient.add_chunk_queries(at.offset, work.work, query_gradient);
        }
        multiply_rows<T>(n_queries, d, query_gradient, decays, p.gate_columns, query_gradient);
      }
    }
    chunk_pairs<T>(p, triangle, queries, query_gradient, turned_state != nullptr, key_gradient, work);
    if (gradients.queries.wanted()) {
      if (p.scale != T(1))
        for (std::size_t r = 0; r < n_queries; ++r)
          p.kernels->scale_row(d, p.scale, T(1), query_gradient.row(r));
      finish_rows(gradients.queries, d, place, query_gradient);
    }
  }
  if (gradients.keys.wanted()) finish_rows(gradients.keys, d, key_place, key_gradient);
  if (gradients.values.wanted()) finish_rows(gradients.values, dv, key_place, value_gradient);
  if (gate_gradient.wanted) {
    gate_gradient.finish();
    finish_rows(gradients.log_gates, p.gate_columns, key_place, gate_gradient.sums);
  }
}

/// What a chunk's queries add to the gradient by the state before it.
template <class T>
void state_gradient_of_chunk(const Problem<T>& p, const Task<T>& task,
                             const heads::InputRows<T>& output_gradient, T* sum, BackwardWork<T>& work) {
  const Products<T> products{*p.kernels};
  const ChunkKeys<T>& keys = work.keys;
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim, n = keys.at.n_queries();
  for (std::size_t g = 0; g < p.geometry.group; ++g) {
    const RowsPlace place = task.queries(p, g, keys.at.first_query, n);
    Block<const T> queries = read_rows(*p.kernels, p.queries, d, place, work.query_buffer, p.scale);
    if (p.gate_columns != 0) {
      multiply_rows<T>(n, d, queries, keys.gates.since_start.at(keys.at.offset), p.gate_columns, work.work);
      queries = work.work;
    }
    const Block<const T> slopes = read_rows(*p.kernels, output_gradient, dv, place, work.slope_buffer);
    products.tn(d, dv, n, queries, slopes, {sum, dv}, g != 0);
  }
}

template <class T>
void backward_task(const Problem<T>& p, const Task<T>& task, const heads::InputRows<T>& output_gradient,
                   const Gradients<T>& gradients, const Team& team, States<T>& states, States<T>& later,
                   BackwardWork<T>& work) {
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim, n_chunks = task.n_chunks();
  if (team.leads()) {
    if (gradients.queries.wanted())
      for (std::size_t g = 0; g < p.geometry.group; ++g)
        zero_rows(gradients.queries, d, task.queries(p, g, 0, task.n_blind()));
    // Without queries all keys are as padding.
    const std::size_t first = task.n_queries == 0 ? 0 : task.n_keys;
    const RowsPlace padding = task.keys(p, first, p.geometry.stored_keys_of(task.batch) - first);
    if (gradients.keys.wanted()) zero_rows(gradients.keys, d, padding);
    if (gradients.values.wanted()) zero_rows(gradients.values, dv, padding);
    if (gradients.log_gates.wanted()) zero_rows(gradients.log_gates, p.gate_columns, padding);
  }
  if (task.n_queries == 0) return;
  const Products<T> products{*p.kernels};
  {
    const auto [begin, end] = team.share(n_chunks == 0 ? 0 : n_chunks - 1);
    for (std::size_t c = begin; c < end; ++c) {
      work.keys.load(p, task, c, false);
      products.tn(dv, d, work.keys.at.n, work.keys.values, work.keys.last_keys, {states.slot(c + 1), d});
      states.set_decay(c, work.keys);
    }
    team.wait();
    states.pass_on_turned(team, dv, d, n_chunks == 0 ? 0 : n_chunks - 1);
    team.wait();
  }
  const std::size_t segment = later.n_chunks;
  for (std::size_t last = n_chunks; last > 0; last -= std::min(last, segment)) {
    const std::size_t first = last - std::min(last, segment), count = last - first;
    const auto [begin, end] = team.share(count);
    for (std::size_t c = begin; c < end; ++c) {
      work.keys.load(p, task, first + c, end - begin == 1);
      later.set_decay(c, work.keys);
      if (first + c > 0 && gradients.by_state())
        state_gradient_of_chunk<T>(p, task, output_gradient, later.slot(c), work);
    }
    team.wait();
    if (gradients.by_state()) later.pass_back(team, d, dv, first == 0, count, last == n_chunks);
    team.wait();
    for (std::size_t c = begin; c < end; ++c) {
      if (end - begin != 1) work.keys.load(p, task, first + c, true);
      backward_chunk<T>(p, task, first + c == 0 ? nullptr : states.slot(first + c),
                        first + c + 1 == n_chunks || !gradients.by_state() ? nullptr : later.slot(c + 1),
                        later.decay_of(c), output_gradient, gradients, work);
    }
    team.wait();
  }
}

}  // namespace softstep::linear_heads
