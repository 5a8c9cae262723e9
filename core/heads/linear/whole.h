#pragma once

// Heads without a mask: all queries read one state, S = K^T V, and all keys one gradient by it. Members of a
// team make different bands of the state, then different rows.

#include "core/heads/linear/backward.h"
#include "core/heads/linear/problem.h"
#include "core/threads/large_array.h"
#include "core/threads/team.h"

namespace softstep::linear_heads {

/// Rows that go through a product together: the depth to which the products form a sum before they add it.
constexpr std::size_t whole_rows = 256;

/// Memory of the team.
template <class T>
struct WholeStates {
  LargeArray<T> state, later, turned_later;
  WholeStates(const Problem<T>& p, bool backward)
      : state(p.state_size()),
        later(backward ? p.state_size() : 0),
        turned_later(backward ? p.state_size() : 0) {}
};

/// Memory of a member.
template <class T>
struct WholeWork {
  WorkSpace<T> memory;
  T *wide, *narrow, *out;
  explicit WholeWork(const Problem<T>& p)
      : memory(WorkSpace<T>::rounded(whole_rows * p.geometry.dim) +
               WorkSpace<T>::rounded(whole_rows * p.geometry.value_dim) +
               WorkSpace<T>::rounded(whole_rows * std::max(p.geometry.dim, p.geometry.value_dim))),
        wide(memory.take(whole_rows * p.geometry.dim)),
        narrow(memory.take(whole_rows * p.geometry.value_dim)),
        out(memory.take(whole_rows * std::max(p.geometry.dim, p.geometry.value_dim))) {}
};

template <class Body>
void for_row_blocks(std::size_t begin, std::size_t end, Body body) {
  for (std::size_t first = begin; first < end; first += whole_rows)
    body(first, std::min(whole_rows, end - first));
}

template <class T>
void whole_forward_task(const Problem<T>& p, const Task<T>& task, const heads::OutputRows<T>& outputs,
                        const Team& team, WholeStates<T>& states, WholeWork<T>& work) {
  const Products<T> products{*p.kernels};
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim;
  const Block<T> state{states.state.data(), dv};
  if (task.n_keys == 0) {
    if (team.leads())
      for (std::size_t g = 0; g < p.geometry.group; ++g)
        zero_rows(outputs, dv, task.queries(p, g, 0, task.n_queries));
    return;
  }
  for_each_block(d, dv, team, [&](const softstep::Block& band) {
    for_row_blocks(0, task.n_keys, [&](std::size_t first, std::size_t n) {
      const RowsPlace place = task.keys(p, first, n);
      const Block<const T> keys = read_rows(*p.kernels, p.keys, d, place, work.wide);
      const Block<const T> values = read_rows(*p.kernels, p.values, dv, place, work.narrow);
      products.tn(band.n_rows, band.n_cols, n, keys.at(0, band.row), values.at(0, band.col),
                  state.at(band.row, band.col), first != 0);
    });
  });
  team.wait();
  const auto [begin, end] = team.share(task.n_queries);
  for (std::size_t g = 0; g < p.geometry.group; ++g)
    for_row_blocks(begin, end, [&](std::size_t first, std::size_t n) {
      const RowsPlace place = task.queries(p, g, first, n);
      const Block<const T> queries = read_rows(*p.kernels, p.queries, d, place, work.wide, p.scale);
      const Block<T> out = make_rows(outputs, dv, place, work.out);
      products.nn(n, dv, d, queries, state, out);
      finish_rows(outputs, dv, place, out);
    });
  team.wait();
}

template <class T>
void whole_backward_task(const Problem<T>& p, const Task<T>& task, const heads::InputRows<T>& output_gradient,
                         const Gradients<T>& gradients, const Team& team, WholeStates<T>& states,
                         WholeWork<T>& work) {
  const Products<T> products{*p.kernels};
  const std::size_t d = p.geometry.dim, dv = p.geometry.value_dim;
  const Block<T> turned_state{states.state.data(), d}, later{states.later.data(), dv},
      turned_later{states.turned_later.data(), d};
  const std::size_t n_keys = task.n_queries == 0 ? 0 : task.n_keys;
  if (team.leads()) {
    const RowsPlace padding = task.keys(p, n_keys, p.geometry.stored_keys_of(task.batch) - n_keys);
    if (gradients.keys.wanted()) zero_rows(gradients.keys, d, padding);
    if (gradients.values.wanted()) zero_rows(gradients.values, dv, padding);
    if (n_keys == 0 && gradients.queries.wanted())
      for (std::size_t g = 0; g < p.geometry.group; ++g)
        zero_rows(gradients.queries, d, task.queries(p, g, 0, task.n_queries));
  }
  if (n_keys == 0) return;
  if (gradients.queries.wanted())
    for_each_block(dv, d, team, [&](const softstep::Block& band) {
      for_row_blocks(0, n_keys, [&](std::size_t first, std::size_t n) {
        const RowsPlace place = task.keys(p, first, n);
        const Block<const T> keys = read_rows(*p.kernels, p.keys, d, place, work.wide);
        const Block<const T> values = read_rows(*p.kernels, p.values, dv, place, work.narrow);
        products.tn(band.n_rows, band.n_cols, n, values.at(0, band.row), keys.at(0, band.col),
                    turned_state.at(band.row, band.col), first != 0);
      });
    });
  if (gradients.by_state())
    for_each_block(d, dv, team, [&](const softstep::Block& band) {
      bool add = false;
      for (std::size_t g = 0; g < p.geometry.group; ++g)
        for_row_blocks(0, task.n_queries, [&](std::size_t first, std::size_t n) {
          const RowsPlace place = task.queries(p, g, first, n);
          const Block<const T> queries = read_rows(*p.kernels, p.queries, d, place, work.wide, p.scale);
          const Block<const T> slopes = read_rows(*p.kernels, output_gradient, dv, place, work.narrow);
          products.tn(band.n_rows, band.n_cols, n, queries.at(0, band.row), slopes.at(0, band.col),
                      later.at(band.row, band.col), add);
          add = true;
        });
      products.transpose(band.n_rows, band.n_cols, later.at(band.row, band.col),
                         turned_later.at(band.col, band.row));
    });
  team.wait();
  if (gradients.queries.wanted()) {
    const auto [begin, end] = team.share(task.n_queries);
    for (std::size_t g = 0; g < p.geometry.group; ++g)
      for_row_blocks(begin, end, [&](std::size_t first, std::size_t n) {
        const RowsPlace place = task.queries(p, g, first, n);
        const Block<const T> slopes = read_rows(*p.kernels, output_gradient, dv, place, work.narrow);
        const Block<T> out = make_rows(gradients.queries, d, place, work.out);
        products.nn(n, d, dv, slopes, turned_state, out);
        if (p.scale != T(1))
          for (std::size_t r = 0; r < n; ++r) p.kernels->scale_row(d, p.scale, T(1), out.row(r));
        finish_rows(gradients.queries, d, place, out);
      });
  }
  const auto [begin, end] = team.share(n_keys);
  for_row_blocks(begin, end, [&](std::size_t first, std::size_t n) {
    const RowsPlace place = task.keys(p, first, n);
    if (gradients.keys.wanted()) {
      const Block<const T> values = read_rows(*p.kernels, p.values, dv, place, work.narrow);
      const Block<T> out = make_rows(gradients.keys, d, place, work.out);
      products.nn(n, d, dv, values, turned_later, out);
      finish_rows(gradients.keys, d, place, out);
    }
    if (gradients.values.wanted()) {
      const Block<const T> keys = read_rows(*p.kernels, p.keys, d, place, work.wide);
      const Block<T> out = make_rows(gradients.values, dv, place, work.out);
      products.nn(n, dv, d, keys, later, out);
      finish_rows(gradients.values, dv, place, out);
    }
  });
  team.wait();
}

}  // namespace softstep::linear_heads
