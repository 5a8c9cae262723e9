#pragma once

// Where some rows stand after some of their keys (docs/mathematics.md, section 11.1), and how what two sets
// of keys give is put together.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "simd/dispatch.h"

namespace softstep::heads {

/// Rows that go on: those of a state from one row on, or a thread's own.
template <class T>
struct RowsAt {
  T *rest_values, *top, *second, *rest;  ///< rest_values: rows of value_dim
  std::size_t* pivot;

  void clear(std::size_t n_rows, std::size_t value_dim) const {
    std::fill_n(rest_values, n_rows * value_dim, T(0));
    std::fill_n(top, n_rows, -std::numeric_limits<T>::infinity());
    std::fill_n(second, n_rows, -std::numeric_limits<T>::infinity());
    std::fill_n(rest, n_rows, T(0));
    std::fill_n(pivot, n_rows, simd::no_pivot);
  }
  RowsAt from(std::size_t row, std::size_t value_dim) const {
    return {rest_values + row * value_dim, top + row, second + row, rest + row, pivot + row};
  }
};

/// e^(lower - upper), 0 where there is nothing below.
template <class T>
T weight_below(T lower, T upper) {
  return lower > -std::numeric_limits<T>::infinity() ? std::exp(lower - upper) : T(0);
}

/// Row `r` of `rows` takes in the same row of `later`, which has seen later keys only. value(j) is v_j as
/// numbers of T.
template <class T, class Value>
void take_in(const simd::Kernels<T>& kernels, const RowsAt<T>& rows, const RowsAt<T>& later, std::size_t r,
             std::size_t value_dim, Value value) {
  if (later.pivot[r] == simd::no_pivot) {
    rows.rest[r] += later.rest[r];  // NaN
    return;
  }
  const bool rises = later.top[r] > rows.top[r];
  const T below = rises ? rows.top[r] : later.top[r];
  const std::size_t loser = rises ? rows.pivot[r] : later.pivot[r];
  const T second = std::max(below, rises ? later.second[r] : rows.second[r]);
  const T own = weight_below(rows.second[r], second), others = weight_below(later.second[r], second),
          losers = weight_below(below, second);
  T* sums = rows.rest_values + r * value_dim;
  if (own != T(1)) kernels.scale_row(value_dim, own, T(1), sums);
  if (others != T(0)) kernels.axpy(value_dim, others, later.rest_values + r * value_dim, sums);
  if (losers != T(0)) kernels.axpy(value_dim, losers, value(loser), sums);
  rows.rest[r] = rows.rest[r] * own + later.rest[r] * others + losers;
  rows.second[r] = second;
  if (rises) {
    rows.top[r] = later.top[r];
    rows.pivot[r] = later.pivot[r];
  }
}

}  // namespace softstep::heads
