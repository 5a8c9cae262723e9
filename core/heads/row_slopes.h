#pragma once

// What the backward pass needs of each row before it looks at keys (docs/mathematics.md, section 11.2).

#include <cmath>
#include <limits>
#include <vector>

#include "core/heads/blocks.h"
#include "core/heads/call.h"
#include "core/heads/state.h"
#include "core/threads/team.h"

namespace softstep::heads {

/// Attention of the pivot and of the rest, by row in the order of Geometry::first_row.
template <class T>
struct RowAttention {
  LargeArray<T> pivot;          ///< p_a; 0 for a row that sees no key
  LargeArray<T> rest;           ///< p_a e^c
  LargeArray<double> exponent;  ///< c; -infinity for a row with one key or none

  RowAttention(const Call<T>& call, const typename HeadsState<T>::Impl& state) {
    const std::size_t n = call.geometry.total_rows();
    pivot.assign(n, T(0));
    rest.assign(n, T(0));
    exponent.assign(n, -std::numeric_limits<double>::infinity());
    for (std::size_t k = 0; k < n; ++k) {
      // NaN among the scores: whatever the row gives is NaN.
      if (std::isnan(state.rest[k])) {
        pivot[k] = rest[k] = state.rest[k];
        exponent[k] = 0.0;
        continue;
      }
      if (state.pivot[k] == simd::no_pivot) continue;
      double attention = 1.0;
      if (state.second[k] > -std::numeric_limits<T>::infinity()) {
        exponent[k] = static_cast<double>(state.second[k]) - static_cast<double>(state.top[k]);
        const double power = std::exp(exponent[k]);
        attention = 1.0 / (1.0 + power * static_cast<double>(state.rest[k]));
        rest[k] = static_cast<T>(attention * power);
      }
      pivot[k] = static_cast<T>(attention);
    }
  }
};

template <class T>
struct RowSlopes {
  RowAttention<T> attention;
  LargeArray<T> mean_slope;        ///< delta
  LargeArray<T> pivot_gradient;    ///< ds_a e^-c
  LargeArray<double> pivot_slope;  ///< D_a = dO . v_a
  /// By batch entry and key head: the largest exponent of its rows, 0 if none has a finite one.
  std::vector<double> largest_exponent;

  RowSlopes(const Call<T>& call, const typename HeadsState<T>::Impl& state,
            const InputRows<T>& output_gradient)
      : attention(call, state) {
    const Geometry& g = call.geometry;
    mean_slope.assign(g.total_rows(), T(0));
    pivot_gradient.assign(g.total_rows(), T(0));
    pivot_slope.assign(g.total_rows(), 0.0);
    largest_exponent.assign(g.batch * g.n_key_heads, 0.0);
    // Threads where the rows' products with R and v_a are worth them.
    const bool large = worth_threads(2.0 * static_cast<double>(g.total_rows() * g.value_dim));
    std::vector<std::vector<T>> rooms(static_cast<std::size_t>(call.n_threads),
                                      std::vector<T>(2 * g.value_dim));
    for_each_index(
        g.batch * g.n_key_heads, large ? call.n_threads : 1, [&](std::size_t k, std::size_t thread) {
          one_group(call, state, output_gradient, k / g.n_key_heads, k % g.n_key_heads, rooms[thread].data());
        });
  }

 private:
  void one_group(const Call<T>& call, const typename HeadsState<T>::Impl& state, const InputRows<T>& slopes,
                 std::size_t b, std::size_t key_head, T* room) {
    const Geometry& g = call.geometry;
    const std::size_t m = g.queries_of(b), place = g.first_row(b, key_head), dv = g.value_dim;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t row = 0; row < g.group * m; ++row) {
      const std::size_t k = place + row;
      if (std::isnan(state.rest[k])) {
        mean_slope[k] = pivot_gradient[k] = state.rest[k];
        continue;
      }
      if (state.pivot[k] == simd::no_pivot) continue;
      const T* slope =
          plain_rows(call.kernels, slopes,
                     slopes.place(b, key_head * g.group + row / m, g.first_query(b), row % m), 1, dv, room)
              .rows;
      const T* value =
          plain_rows(call.kernels, call.values,
                     call.values.place(b, key_head, g.first_key(b), state.pivot[k]), 1, dv, room + dv)
              .rows;
      pivot_slope[k] = call.kernels.dot(dv, slope, value);
      const double c = attention.exponent[k];
      double mean = pivot_slope[k];
      if (std::isfinite(c)) {
        const double power = std::exp(c), rest = static_cast<double>(state.rest[k]),
                     p = 1.0 / (1.0 + power * rest);
        const double mu =
            p * (call.kernels.dot(dv, slope, state.rest_values.data() + k * dv) - rest * pivot_slope[k]);
        mean += power * mu;
        pivot_gradient[k] = static_cast<T>(-p * mu);
        largest = std::max(largest, c);
      }
      mean_slope[k] = static_cast<T>(mean);
    }
    if (std::isfinite(largest)) largest_exponent[b * g.n_key_heads + key_head] = largest;
  }
};

}  // namespace softstep::heads
