#pragma once

// The states of some chunks that follow each other, and their way from one to the next:
//
//   S_(c+1) = decay_c S_c + U_c
//
// where U_c is what chunk c adds and decay_c the product of its gates. Members of a team make the U_c of
// different chunks and pass on different rows of the states: no sum is split, so that the bits do not depend
// on how many they are.

#include <algorithm>
#include <cstddef>

#include "core/heads/linear/chunk.h"
#include "core/threads/large_array.h"
#include "core/threads/team.h"

namespace softstep::linear_heads {

template <class T>
struct States {
  std::size_t n_chunks, size, gate_columns;
  LargeArray<T> memory, decays, carried;

  States(const Problem<T>& p, std::size_t chunks)
      : n_chunks(chunks),
        size(p.state_size()),
        gate_columns(p.gate_columns),
        memory((chunks + 1) * size),
        decays(chunks * gate_columns),
        carried(size) {}

  /// Slot c holds the state before the c-th of these chunks; slot c + 1 what it adds, until it is passed on.
  T* slot(std::size_t c) { return memory.data() + c * size; }
  T* decay_of(std::size_t c) { return decays.data() + c * gate_columns; }
  void set_decay(std::size_t c, const ChunkKeys<T>& keys) {
    if (gate_columns != 0) std::copy_n(keys.gates.whole(keys.at.n), gate_columns, decay_of(c));
  }

  /// `row += decay before`; column l of the decay belongs to row l of the state, or to column l if `turned`.
  void add_row(const T* before, const T* decay, std::size_t r, bool turned, std::size_t n, T* row) const {
    if (gate_columns == 0) {
      for (std::size_t i = 0; i < n; ++i) row[i] += before[i];
    } else if (gate_columns == 1 || !turned) {
      const T factor = decay[gate_columns == 1 ? 0 : r];
      for (std::size_t i = 0; i < n; ++i) row[i] += factor * before[i];
    } else {
      for (std::size_t i = 0; i < n; ++i) row[i] += decay[i] * before[i];
    }
  }

  /// The states before chunks first + 1 .. first + count, from that of `first` on, which the call before has
  /// left; before chunk 0 it is 0.
  void pass_on(const Team& team, std::size_t n_rows, std::size_t n_columns, std::size_t first,
               std::size_t count) {
    if (first == 0 && count == 0) return;
    const auto [begin, end] = team.share(n_rows);
    for (std::size_t r = begin; r < end; ++r) {
      const std::size_t at = r * n_columns;
      if (first != 0) std::copy_n(carried.data() + at, n_columns, slot(0) + at);
      for (std::size_t c = first == 0 ? 1 : 0; c < count; ++c)
        add_row(slot(c) + at, decay_of(c), r, false, n_columns, slot(c + 1) + at);
      std::copy_n(slot(count) + at, n_columns, carried.data() + at);
    }
  }

  /// The same for all chunks of a head, in the transposed form.
  void pass_on_turned(const Team& team, std::size_t n_rows, std::size_t n_columns, std::size_t count) {
    const auto [begin, end] = team.share(n_rows);
    for (std::size_t c = 1; c < count; ++c)
      for (std::size_t r = begin; r < end; ++r)
        add_row(slot(c) + r * n_columns, decay_of(c), r, true, n_columns, slot(c + 1) + r * n_columns);
  }

  /// The other way, for gradients by the states: slot c holds what chunk c adds to that before it, and
  /// becomes the whole, decay_c slot(c + 1) + slot(c). The last of `count` is from the call before, if there
  /// was one.
  void pass_back(const Team& team, std::size_t n_rows, std::size_t n_columns, bool at_begin,
                 std::size_t count, bool at_end) {
    const auto [begin, end] = team.share(n_rows);
    for (std::size_t r = begin; r < end; ++r) {
      const std::size_t at = r * n_columns;
      if (!at_end) std::copy_n(carried.data() + at, n_columns, slot(count) + at);
      for (std::size_t c = count - (at_end ? 1 : 0); c-- > (at_begin ? 1 : 0);)
        add_row(slot(c + 1) + at, decay_of(c), r, false, n_columns, slot(c) + at);
      if (!at_begin) std::copy_n(slot(0) + at, n_columns, carried.data() + at);
    }
  }
};

}  // namespace softstep::linear_heads
