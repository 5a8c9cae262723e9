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

template <class T>
struct RowSlopes {
  // By row, in the order of Geometry::first_row.
  LargeArray<T> pivot_attention;  ///< p_a; 0 for a row that sees no key
  LargeArray<T> rest_attention;   ///< p_a e^c
  LargeArray<T> mean_slope;       ///< delta
  LargeArray<T> pivot_gradient;   ///< ds_a e^-c
  LargeArray<double> exponent;    ///< c; -infinity for a row with one key or none
  /// By batch entry and key head: the largest exponent of its rows, 0 if none has a finite one.
  std::vector<double> largest_exponent;

  RowSlopes(const Call<T>& call, const typename HeadsState<T>::Impl& state,
            const InputRows<T>& output_gradient) {
    const Geometry& g = call.geometry;
    for (LargeArray<T>* values : {&pivot_attention, &rest_attention, &mean_slope, &pivot_gradient})
      values->resize(g.total_rows());
    exponent.resize(g.total_rows());
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
      const double top = static_cast<double>(state.top[k]), second = static_cast<double>(state.second[k]);
      pivot_attention[k] = rest_attention[k] = mean_slope[k] = pivot_gradient[k] = T(0);
      exponent[k] = -std::numeric_limits<double>::infinity();
      if (state.pivot[k] == simd::no_pivot) continue;
      const T* slope =
          plain_rows(call.kernels, slopes,
                     slopes.place(b, key_head * g.group + row / m, g.first_query(b), row % m), 1, dv, room)
              .rows;
      const T* value =
          plain_rows(call.kernels, call.values,
                     call.values.place(b, key_head, g.first_key(b), state.pivot[k]), 1, dv, room + dv)
              .rows;
      const double pivot_slope = call.kernels.dot(dv, slope, value);
      double attention = 1.0, mean = pivot_slope;
      if (second > -std::numeric_limits<double>::infinity()) {
        const double power = std::exp(second - top), rest = static_cast<double>(state.rest[k]);
        attention = 1.0 / (1.0 + power * rest);
        const double mu =
            attention * (call.kernels.dot(dv, slope, state.rest_values.data() + k * dv) - rest * pivot_slope);
        mean += power * mu;
        pivot_gradient[k] = static_cast<T>(-attention * mu);
        rest_attention[k] = static_cast<T>(attention * power);
        exponent[k] = second - top;
        largest = std::max(largest, exponent[k]);
      }
      pivot_attention[k] = static_cast<T>(attention);
      mean_slope[k] = static_cast<T>(mean);
    }
    if (std::isfinite(largest)) largest_exponent[b * g.n_key_heads + key_head] = largest;
  }
};

}  // namespace softstep::heads
