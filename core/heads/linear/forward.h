#pragma once

// The forward pass of a causal head: within a chunk through scores, from chunk to chunk through the state
// (docs/mathematics.md, section 12.1).

#include "core/heads/linear/chunk.h"
#include "core/heads/linear/states.h"

namespace softstep::linear_heads {

template <class T>
struct ForwardWork {
  WorkSpace<T> memory;
  ChunkKeys<T> keys;
  T* query_buffer;
  T* output_buffer;
  Block<T> work, scores;

  static std::size_t pieces(const Problem<T>& p) {
    return ChunkKeys<T>::pieces(p) + 2 * WorkSpace<T>::rounded(chunk_size * p.geometry.dim) +
           WorkSpace<T>::rounded(chunk_size * p.geometry.value_dim) +
           WorkSpace<T>::rounded(chunk_size * chunk_size);
  }
  explicit ForwardWork(const Problem<T>& p) : memory(pieces(p)), keys(p, memory) {
    query_buffer = memory.take(chunk_size * p.geometry.dim);
    output_buffer = memory.take(chunk_size * p.geometry.value_dim);
    work = {memory.take(chunk_size * p.geometry.dim), p.geometry.dim};
    scores = {memory.take(chunk_size * chunk_size), chunk_size};
  }
};

/// The outputs of the queries beside a chunk. `state`: what stands before it; null before the first.
template <class T>
void forward_chunk(const Problem<T>& p, const Task<T>& task, const T* state,
                   const heads::OutputRows<T>& outputs, ForwardWork<T>& work) {
  const Products<T> products{*p.kernels};
  const ChunkKeys<T>& keys = work.keys;
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim, n = keys.at.n_queries();
  if (n == 0) return;
  for (std::size_t g = 0; g < p.geometry.group; ++g) {
    const RowsPlace place = task.queries(p, g, keys.at.first_query, n);
    const Block<const T> queries = read_rows(*p.kernels, p.queries, d, place, work.query_buffer, p.scale);
    const Triangle triangle{keys.at.n, keys.at.offset, keys.step(all_finite(queries, n, d))};
    const Block<T> out = make_rows(outputs, dv, place, work.output_buffer);
    if (state != nullptr) {
      Block<const T> since = queries;
      if (p.gate_columns != 0) {
        multiply_rows<T>(n, d, queries, keys.gates.since_start.at(triangle.offset), p.gate_columns,
                         work.work);
        since = work.work;
      }
      products.nn(n, dv, d, since, {state, dv}, out);
    }
    chunk_scores<T>(p, keys, triangle, queries, work.work, work.scores);
    triangle_times_rows<T>(products, triangle, dv, work.scores, keys.values, out, state != nullptr);
    finish_rows(outputs, dv, place, out);
  }
}

template <class T>
void forward_task(const Problem<T>& p, const Task<T>& task, const heads::OutputRows<T>& outputs,
                  const Team& team, States<T>& states, ForwardWork<T>& work) {
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim, n_chunks = task.n_chunks();
  if (team.leads())
    for (std::size_t g = 0; g < p.geometry.group; ++g)
      zero_rows(outputs, dv, task.queries(p, g, 0, task.n_blind()));
  if (task.n_queries == 0) return;
  const Products<T> products{*p.kernels};
  for (std::size_t first = 0; first < n_chunks; first += states.n_chunks) {
    const std::size_t count = std::min(states.n_chunks, n_chunks - first);
    const auto [begin, end] = team.share(count);
    for (std::size_t c = begin; c < end; ++c) {
      work.keys.load(p, task, first + c, end - begin == 1);
      if (first + c + 1 == n_chunks) continue;
      products.tn(d, dv, work.keys.at.n, work.keys.last_keys, work.keys.values, {states.slot(c + 1), dv});
      states.set_decay(c, work.keys);
    }
    team.wait();
    states.pass_on(team, d, dv, first, std::min(count, n_chunks - 1 - first));
    team.wait();
    for (std::size_t c = begin; c < end; ++c) {
      if (end - begin != 1) work.keys.load(p, task, first + c, true);
      forward_chunk<T>(p, task, first + c == 0 ? nullptr : states.slot(c), outputs, work);
    }
    team.wait();
  }
}

}  // namespace softstep::linear_heads
