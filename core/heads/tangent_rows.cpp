#include "core/heads/tangent_rows.h"

#include <atomic>
#include <cmath>

namespace softstep::heads {

template <class T>
Direction<T>::Direction(const Call<T>& call, const HeadsDirection<T>& direction) {
  const Geometry& g = call.geometry;
  const auto resolve = [&](const HeadsView<T>& array, Axis axis, std::size_t columns, const char* name) {
    return array.given() ? g.input(array, axis, columns, name) : InputRows<T>{};
  };
  queries = resolve(direction.queries, Axis::queries, g.dim, "direction.queries");
  keys = resolve(direction.keys, Axis::keys, g.dim, "direction.keys");
  values = resolve(direction.values, Axis::keys, g.value_dim, "direction.values");
}

template <class T>
void Direction<T>::require_apart_from(const Call<T>& call, const Extent& output) const {
  const Geometry& g = call.geometry;
  require_apart(output, extent_of(g, queries, Axis::queries, g.dim, "direction.queries"));
  require_apart(output, extent_of(g, keys, Axis::keys, g.dim, "direction.keys"));
  require_apart(output, extent_of(g, values, Axis::keys, g.value_dim, "direction.values"));
}

template <class T>
struct TangentRows<T>::Space {
  Space(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : forward(g, size, tile_columns),
        numbers(WorkSpace<T>::rounded(size.rows * g.dim) + 2 * WorkSpace<T>::rounded(size.lot * size.keys) +
                2 * WorkSpace<T>::rounded(size.keys * g.dim) +
                2 * WorkSpace<T>::rounded(panels_size(size.keys, g.value_dim, tile_columns)) +
                2 * WorkSpace<T>::rounded(g.dim) + WorkSpace<T>::rounded(size.rows)) {
    tangents = numbers.take(size.rows * g.dim);
    slopes = numbers.take(size.lot * size.keys);
    derivative = numbers.take(size.lot * size.keys);
    keys = numbers.take(size.keys * g.dim);
    key_tangents = numbers.take(size.keys * g.dim);
    values = numbers.take(panels_size(size.keys, g.value_dim, tile_columns));
    value_tangents = numbers.take(panels_size(size.keys, g.value_dim, tile_columns));
    key = numbers.take(g.dim);
    key_tangent = numbers.take(g.dim);
    zeros = numbers.take(size.rows);
    std::fill_n(zeros, size.rows, T(0));
    if (!(g.soft_cap > 0.0)) derivative = nullptr;
  }
  ForwardSpace<T> forward;
  WorkSpace<T> numbers;
  T *tangents, *slopes, *derivative, *keys, *key_tangents, *values, *value_tangents, *key, *key_tangent,
      *zeros;
};

template <class T>
TangentRows<T>::TangentRows(const Call<T>& call, const typename HeadsState<T>::Impl& state,
                            const Direction<T>& direction, const LargeArray<T>& pivot_attention)
    : call_(call),
      state_(state),
      direction_(direction),
      pivot_attention_(pivot_attention),
      size_(block_size<T>(std::max(call.geometry.dim, call.geometry.value_dim), call.kernels.tile_columns,
                          false)) {
  const Geometry& g = call.geometry;
  pivot_tangent.assign(g.total_rows(), T(0));
  mean_tangent.assign(g.total_rows(), T(0));
  value_sums.assign(g.total_rows() * g.value_dim, T(0));
  tangent_sums.assign(g.total_rows() * g.value_dim, T(0));
  std::vector<RowBlock> blocks;
  for (std::size_t b = 0; b < g.batch; ++b)
    for (std::size_t h = 0; h < g.n_key_heads; ++h)
      for (std::size_t first = 0; first < g.group * g.queries_of(b); first += size_.rows)
        blocks.push_back({b, h, first, std::min(size_.rows, g.group * g.queries_of(b) - first)});
  const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(call.n_threads), blocks.size());
  std::vector<std::unique_ptr<Space>> spaces;
  for (std::size_t k = 0; k < std::max<std::size_t>(1, wanted); ++k)
    spaces.push_back(std::make_unique<Space>(g, size_, call.kernels.tile_columns));
  std::atomic<std::size_t> next{0};
  with_team<Waits::never>(static_cast<int>(spaces.size()), [&](const Team& team) {
    for (std::size_t k = next++; k < blocks.size(); k = next++) one_block(blocks[k], *spaces[team.rank]);
  });
}

// s'_a = g'(scale q.k_a) scale (q'.k_a + q.k'_a)
template <class T>
void TangentRows<T>::find_pivot_tangents(const RowBlock& block, Space& space) {
  const Geometry& g = call_.geometry;
  const std::size_t d = g.dim, place = g.first_row(block.b, block.key_head) + block.first;
  for (std::size_t r = 0; r < block.n_rows; ++r) {
    const std::size_t pivot = state_.pivot[place + r];
    if (pivot == simd::no_pivot) continue;
    const auto row_of = [&](const InputRows<T>& rows, T* room) {
      return plain_rows(call_.kernels, rows, rows.place(block.b, block.key_head, g.first_key(block.b), pivot),
                        1, d, room)
          .rows;
    };
    const T *q = space.forward.q + r * d, *key = row_of(call_.keys, space.key);
    double tangent = 0.0;
    if (direction_.queries.wanted()) tangent += call_.kernels.dot(d, space.tangents + r * d, key);
    if (direction_.keys.wanted())
      tangent += call_.kernels.dot(d, q, row_of(direction_.keys, space.key_tangent));
    if (g.soft_cap > 0.0) {
      const double e = std::exp(-2.0 * std::fabs(call_.kernels.dot(d, q, key) / g.soft_cap));
      tangent *= 4.0 * e / ((1.0 + e) * (1.0 + e));
    }
    pivot_tangent[place + r] = static_cast<T>(tangent);
  }
}

template <class T>
void TangentRows<T>::one_block(const RowBlock& block, Space& space) {
  const Geometry& g = call_.geometry;
  const simd::Kernels<T>& kernels = call_.kernels;
  ForwardSpace<T>& own = space.forward;
  const std::size_t d = g.dim, dv = g.value_dim, ld = size_.keys;
  const std::size_t place = g.first_row(block.b, block.key_head) + block.first;
  load_queries(call_, block, own);
  if (direction_.queries.wanted())
    load_rows(kernels, g, direction_.queries, block, d, static_cast<T>(g.scale), space.tangents);
  find_pivot_tangents(block, space);
  const KeyRange seen = seen_by_any(own.ranges.data(), block.n_rows);
  for (std::size_t first_key = seen.begin / ld * ld; first_key < seen.end; first_key += ld) {
    const std::size_t n = std::min(ld, seen.end - first_key);
    const auto plain = [&](const InputRows<T>& rows, std::size_t columns) {
      return plain_key_rows(kernels, g, rows, block.b, block.key_head, first_key, n, columns, own.plain);
    };
    pack_transposed(kernels, plain(call_.keys, d), n, d, space.keys);
    if (direction_.keys.wanted())
      pack_transposed(kernels, plain(direction_.keys, d), n, d, space.key_tangents);
    pack_panels(kernels, plain(call_.values, dv), n, dv, space.values);
    if (direction_.values.wanted())
      pack_panels(kernels, plain(direction_.values, dv), n, dv, space.value_tangents);
    for_each_lot(
        own.ranges.data(), block.n_rows, size_.lot, first_key, n, own.seen,
        [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
          lot_scores<T>(call_, block, first, count, first_key, columns, own.q, space.keys, ld, own.scores,
                        space.derivative);
          lot_tangents<T>(call_, direction_, block, first, count, first_key, columns, own.q, space.tangents,
                          space.keys, space.key_tangents, ld, space.derivative, space.slopes);
          simd::SoftmaxGradientArgs<T> args{};
          args.n_rows = count;
          args.n_keys = columns;
          args.scores = own.scores;
          args.slopes = space.slopes;
          args.ld = ld;
          args.begin = whole ? nullptr : own.seen.begin + first;
          args.end = whole ? nullptr : own.seen.end + first;
          args.first_key = first_key;
          args.second = state_.second.data() + place + first;
          args.pivot = state_.pivot.data() + place + first;
          args.pivot_attention = pivot_attention_.data() + place + first;
          args.rest_attention = args.pivot_attention;
          args.mean_slope = pivot_tangent.data() + place + first;
          args.pivot_gradient = space.zeros;
          kernels.softmax_gradient(args);
          for (std::size_t r = 0; r < count; ++r) {
            // A is that of the rest.
            const std::size_t pivot = args.pivot[r] - first_key;
            if (args.pivot[r] >= first_key && pivot < columns) space.slopes[r * ld + pivot] = T(0);
            T sum = 0;
            for (std::size_t j = 0; j < columns; ++j) sum += own.scores[r * ld + j];
            mean_tangent[place + first + r] += sum;
          }
          kernels.product_panels({count, dv, columns, own.scores, ld, false, space.values, n,
                                  value_sums.data() + (place + first) * dv, dv, true});
          if (direction_.values.wanted())
            kernels.product_panels({count, dv, columns, space.slopes, ld, false, space.value_tangents, n,
                                    tangent_sums.data() + (place + first) * dv, dv, true});
        });
  }
}

template struct Direction<float>;
template struct Direction<double>;
template class TangentRows<float>;
template class TangentRows<double>;

}  // namespace softstep::heads
