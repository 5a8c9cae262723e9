#pragma once

// What the forward pass knows of each row in the end (docs/mathematics.md, section 11.1). Rows are in the
// order of Geometry::first_row.

#include <cstddef>
#include <vector>

#include "core/heads/row_state.h"
#include "core/threads/large_array.h"
#include "simd/dispatch.h"
#include "softstep/attention.h"

namespace softstep {

template <NumberType T>
struct HeadsState<T>::Impl {
  std::size_t n_rows = 0, value_dim = 0;  ///< of a forward pass that came to its end
  LargeArray<T> rest_values;              ///< R = sum_{j != a} e_j v_j, rows of value_dim
  LargeArray<T> top, second, rest;
  LargeArray<std::size_t> pivot;

  /// Holds nothing until `finished`: not where memory runs out on the way.
  void resize(std::size_t rows, std::size_t columns) {
    n_rows = value_dim = 0;
    rest_values.resize(rows * columns);
    top.resize(rows);
    second.resize(rows);
    rest.resize(rows);
    pivot.resize(rows);
  }
  void finished(std::size_t rows, std::size_t columns) {
    n_rows = rows;
    value_dim = columns;
  }
  heads::RowsAt<T> rows() {
    return {rest_values.data(), top.data(), second.data(), rest.data(), pivot.data()};
  }
};

}  // namespace softstep
