#pragma once

// What attention_hessian_product needs of each row before it looks at keys (docs/mathematics.md,
// section 11.4).

#include <cmath>
#include <vector>

#include "core/heads/row_slopes.h"
#include "core/heads/tangent_rows.h"

namespace softstep::heads {

template <class T>
struct HessianRows {
  // By row, in the order of Geometry::first_row.
  LargeArray<T> mean_tangent;             ///< sum_j p_j s'_j
  LargeArray<T> mean_slope_tangent;       ///< delta'
  LargeArray<T> pivot_gradient_tangent;   ///< ds'_a e^-c
  LargeArray<T> pivot_attention_tangent;  ///< p'_a

  HessianRows(const Call<T>& call, const typename HeadsState<T>::Impl& state, const RowSlopes<T>& slopes,
              const TangentRows<T>& tangents, const Direction<T>& direction,
              const InputRows<T>& output_gradient, const InputRows<T>& output_tangent) {
    const Geometry& g = call.geometry;
    for (LargeArray<T>* values :
         {&mean_tangent, &mean_slope_tangent, &pivot_gradient_tangent, &pivot_attention_tangent})
      values->assign(g.total_rows(), T(0));
    std::vector<T> room(4 * g.value_dim);
    for (std::size_t b = 0; b < g.batch; ++b)
      for (std::size_t key_head = 0; key_head < g.n_key_heads; ++key_head)
        for (std::size_t row = 0; row < g.group * g.queries_of(b); ++row)
          one_row(call, state, slopes, tangents, direction, output_gradient, output_tangent, b, key_head, row,
                  room.data());
  }

 private:
  void one_row(const Call<T>& call, const typename HeadsState<T>::Impl& state, const RowSlopes<T>& slopes,
               const TangentRows<T>& tangents, const Direction<T>& direction,
               const InputRows<T>& output_gradient, const InputRows<T>& output_tangent, std::size_t b,
               std::size_t key_head, std::size_t row, T* room) {
    const Geometry& g = call.geometry;
    const std::size_t m = g.queries_of(b), k = g.first_row(b, key_head) + row, dv = g.value_dim;
    if (std::isnan(state.rest[k])) {
      mean_tangent[k] = mean_slope_tangent[k] = state.rest[k];
      pivot_gradient_tangent[k] = pivot_attention_tangent[k] = state.rest[k];
      return;
    }
    if (state.pivot[k] == simd::no_pivot) return;
    // A row by query, or of the pivot's key; null where it stands still. `space` is its part of the room.
    const auto by_query = [&](const InputRows<T>& rows, std::size_t space) {
      return rows.wanted()
                 ? plain_rows(call.kernels, rows,
                              rows.place(b, key_head * g.group + row / m, g.first_query(b), row % m), 1, dv,
                              room + space * dv)
                       .rows
                 : nullptr;
    };
    const auto of_pivot = [&](const InputRows<T>& rows, std::size_t space) {
      return rows.wanted()
                 ? plain_rows(call.kernels, rows, rows.place(b, key_head, g.first_key(b), state.pivot[k]), 1,
                              dv, room + space * dv)
                       .rows
                 : nullptr;
    };
    const auto dot = [&](const T* x, const T* y) {
      return x == nullptr || y == nullptr ? 0.0 : call.kernels.dot(dv, x, y);
    };
    const T *slope = by_query(output_gradient, 0), *slope_tangent = by_query(output_tangent, 1);
    const T *value = of_pivot(call.values, 2), *value_tangent = of_pivot(direction.values, 3);
    const double pivot_slope = slopes.pivot_slope[k];
    const double pivot_slope_tangent = dot(slope_tangent, value) + dot(slope, value_tangent);
    const double c = slopes.attention.exponent[k], power = std::isfinite(c) ? std::exp(c) : 0.0;
    const double rest = static_cast<double>(state.rest[k]), p = 1.0 / (1.0 + power * rest);
    const double sigma = static_cast<double>(tangents.mean_tangent[k]);
    const double mu = -static_cast<double>(slopes.pivot_gradient[k]) / p;
    const double rho = dot(slope, tangents.value_sums.data() + k * dv) - sigma * pivot_slope;
    const double kappa =
        p * (dot(slope_tangent, state.rest_values.data() + k * dv) - rest * dot(slope_tangent, value)) +
        dot(slope, tangents.tangent_sums.data() + k * dv) - p * rest * dot(slope, value_tangent);
    const double nu = rho - power * sigma * mu + kappa;
    mean_tangent[k] = static_cast<T>(static_cast<double>(tangents.pivot_tangent[k]) + power * sigma);
    mean_slope_tangent[k] = static_cast<T>(pivot_slope_tangent + power * nu);
    pivot_gradient_tangent[k] =
        static_cast<T>(-(rho - power * sigma * mu - power * sigma * p * mu + kappa - p * rest * power * nu));
    pivot_attention_tangent[k] = static_cast<T>(-p * power * sigma);
  }
};

}  // namespace softstep::heads
