// The output along a direction of the inputs (docs/mathematics.md, section 11.4).

#include <cmath>

#include "core/heads/key_pass.h"
#include "core/heads/tangent_rows.h"

namespace softstep {
namespace heads {
namespace {

template <class T>
void write_tangents(const Call<T>& call, const typename HeadsState<T>::Impl& state,
                    const Direction<T>& direction, const OutputRows<T>& outputs) {
  const Geometry& g = call.geometry;
  const RowAttention<T> attention(call, state);
  const TangentRows<T> sums(call, state, direction, attention.pivot);
  const std::size_t dv = g.value_dim;
  std::vector<T> room(2 * dv);
  for (std::size_t b = 0; b < g.batch; ++b)
    for (std::size_t row_of_batch = 0; row_of_batch < g.n_heads * g.queries_of(b); ++row_of_batch) {
      const std::size_t m = g.queries_of(b), h = row_of_batch / m, i = row_of_batch % m,
                        key_head = h / g.group;
      const std::size_t k = g.first_row(b, key_head) + row_of_batch - key_head * g.group * m;
      T* out = room.data();
      // A row that sees nothing has 0; NaN stays, also where no score is a number.
      std::fill_n(out, dv, std::isnan(state.rest[k]) ? state.rest[k] : T(0));
      if (state.pivot[k] != simd::no_pivot) {
        // o' = e^c (sum A (s' - s'_a) v - e^c sigma p_a R - sigma p_a v_a + sum A v') + p_a v'_a
        const double power = std::exp(attention.exponent[k]),
                     sigma = static_cast<double>(sums.mean_tangent[k]);
        const T p = attention.pivot[k];
        const auto row_at_pivot = [&](const InputRows<T>& rows) {
          return plain_rows(call.kernels, rows, rows.place(b, key_head, g.first_key(b), state.pivot[k]), 1,
                            dv, room.data() + dv)
              .rows;
        };
        call.kernels.axpy(dv, T(1), sums.value_sums.data() + k * dv, out);
        call.kernels.axpy(dv, T(1), sums.tangent_sums.data() + k * dv, out);
        call.kernels.axpy(dv, static_cast<T>(-power * sigma) * p, state.rest_values.data() + k * dv, out);
        call.kernels.axpy(dv, static_cast<T>(-sigma) * p, row_at_pivot(call.values), out);
        const auto half_power = static_cast<T>(std::exp(0.5 * attention.exponent[k]));
        call.kernels.scale_row(dv, half_power, half_power, out);
        if (direction.values.wanted()) call.kernels.axpy(dv, p, row_at_pivot(direction.values), out);
      }
      store_row(out, dv, outputs, outputs.place(b, h, g.first_query(b), i));
    }
}

}  // namespace
}  // namespace heads

template <NumberType T>
void attention_tangent(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                       const HeadsDirection<T>& direction, const HeadsSpan<T>& output_tangent,
                       const HeadsOptions& options) {
  using namespace heads;
  const Call<T> call(inputs, options);
  const Geometry& g = call.geometry;
  require_state_of(call, state.impl());
  const Direction<T> along(call, direction);
  const OutputRows<T> out = g.output(output_tangent, Axis::queries, g.value_dim, "output_tangent");
  const Extent extent = extent_of(g, out, Axis::queries, g.value_dim, "output_tangent");
  call.require_apart_from_inputs(extent);
  along.require_apart_from(call, extent);
  write_tangents(call, state.impl(), along, out);
}

template void attention_tangent(const HeadsInputs<float>&, const HeadsState<float>&,
                                const HeadsDirection<float>&, const HeadsSpan<float>&, const HeadsOptions&);
template void attention_tangent(const HeadsInputs<double>&, const HeadsState<double>&,
                                const HeadsDirection<double>&, const HeadsSpan<double>&, const HeadsOptions&);

}  // namespace softstep
