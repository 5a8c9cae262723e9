// The backward pass along a direction (docs/mathematics.md, section 11.4).

#include <cmath>

#include "core/heads/hessian_rows.h"
#include "core/heads/key_pass.h"
#include "core/heads/tangent_rows.h"

namespace softstep {
namespace heads {
namespace {

// Blocks of a thread. What ends in _t is along the direction.
template <class T>
struct HessianSpace {
  HessianSpace(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : numbers(total(g, size, tile_columns)),
        places(2 * WorkSpace<std::size_t>::rounded(size.rows)),
        ranges(size.rows) {
    const std::size_t d = g.dim, dv = g.value_dim;
    for (T** rows : {&q, &q_t, &shifted}) *rows = numbers.take(size.rows * d);
    for (T** rows : {&slope_rows, &slope_rows_t}) *rows = numbers.take(size.rows * dv);
    for (T** panels : {&q_panels, &q_panels_t})
      *panels = numbers.take(panels_size(size.rows, d, tile_columns));
    for (T** panels : {&slope_panels, &slope_panels_t})
      *panels = numbers.take(panels_size(size.rows, dv, tile_columns));
    for (T** block : {&scores, &scores_t, &slopes, &slopes_t, &derivative, &capped})
      *block = numbers.take(size.lot * size.keys);
    if (!(g.soft_cap > 0.0)) derivative = capped = nullptr;
    for (T** block : {&keys_transposed, &keys_transposed_t, &key_sums}) *block = numbers.take(size.keys * d);
    for (T** block : {&values_transposed, &values_transposed_t, &value_sums})
      *block = numbers.take(size.keys * dv);
    for (T** panels : {&key_panels, &key_panels_t})
      *panels = numbers.take(panels_size(size.keys, d, tile_columns));
    plain = numbers.take(size.keys * std::max(d, dv));
    for (std::size_t** row : {&seen.begin, &seen.end}) *row = places.take(size.rows);
  }
  static std::size_t total(const Geometry& g, BlockSize size, std::size_t tile_columns) {
    const auto rounded = [](std::size_t n) { return WorkSpace<T>::rounded(n); };
    const std::size_t d = g.dim, dv = g.value_dim;
    return 3 * rounded(size.rows * d) + 2 * rounded(size.rows * dv) +
           2 * rounded(panels_size(size.rows, d, tile_columns)) +
           2 * rounded(panels_size(size.rows, dv, tile_columns)) + 6 * rounded(size.lot * size.keys) +
           3 * rounded(size.keys * d) + 3 * rounded(size.keys * dv) +
           2 * rounded(panels_size(size.keys, d, tile_columns)) + rounded(size.keys * std::max(d, dv));
  }
  WorkSpace<T> numbers;
  WorkSpace<std::size_t> places;
  std::vector<KeyRange> ranges;
  T *q, *q_t, *shifted, *slope_rows, *slope_rows_t, *q_panels, *q_panels_t, *slope_panels, *slope_panels_t;
  T *scores, *scores_t, *slopes, *slopes_t, *derivative, *capped;
  T *keys_transposed, *keys_transposed_t, *values_transposed, *values_transposed_t;
  T *key_panels, *key_panels_t, *key_sums, *value_sums, *plain;
  Seen seen;
  QueryTerm<T> query_terms[2];
};

template <class T>
class HessianLots {
 public:
  using Space = HessianSpace<T>;

  HessianLots(const Call<T>& call, const BlockSize& size, const typename HeadsState<T>::Impl& state,
              const InputRows<T>& output_gradient, const InputRows<T>& output_tangent,
              const Direction<T>& direction, const Results<T>& results, const RowSlopes<T>& slopes,
              const HessianRows<T>& rows)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(size),
        state_(state),
        output_gradient_(output_gradient),
        output_tangent_(output_tangent),
        direction_(direction),
        out_(results),
        slopes_(slopes),
        rows_(rows) {}

  std::unique_ptr<Space> make_space() const {
    auto space = std::make_unique<Space>(g_, size_, kernels_.tile_columns);
    space->query_terms[0] = {space->scores_t, space->key_panels};
    if (direction_.keys.wanted()) space->query_terms[1] = {space->scores, space->key_panels_t};
    return space;
  }

  void load_keys(const KeyBlock& keys, Space& space) const {
    const std::size_t n = keys.n_keys, d = g_.dim, dv = g_.value_dim;
    const auto plain = [&](const InputRows<T>& rows, std::size_t columns) {
      return plain_key_rows(kernels_, g_, rows, keys.b, keys.key_head, keys.first, n, columns, space.plain);
    };
    const auto load = [&](const InputRows<T>& rows, T* transposed, T* panels) {
      if (!rows.wanted()) return;
      const PlainRows<T> numbers = plain(rows, d);
      pack_transposed(kernels_, numbers, n, d, transposed);
      pack_panels(kernels_, numbers, n, d, panels);
    };
    load(call_.keys, space.keys_transposed, space.key_panels);
    load(direction_.keys, space.keys_transposed_t, space.key_panels_t);
    pack_transposed(kernels_, plain(call_.values, dv), n, dv, space.values_transposed);
    if (direction_.values.wanted())
      pack_transposed(kernels_, plain(direction_.values, dv), n, dv, space.values_transposed_t);
  }

  void load_rows(const RowBlock& block, Space& space) const {
    const std::size_t dv = g_.value_dim;
    ranges_of(g_, block, space.ranges.data());
    load_queries(call_.queries, block, space, space.q, space.q_panels);
    load_queries(direction_.queries, block, space, space.q_t, space.q_panels_t);
    const auto load = [&](const InputRows<T>& rows, T* numbers, T* panels) {
      if (!rows.wanted()) return;
      heads::load_rows(kernels_, g_, rows, block, dv, T(1), numbers);
      clear_blind_rows(space.ranges.data(), block.n_rows, dv, numbers);
      pack_panels(kernels_, {numbers, dv}, block.n_rows, dv, panels);
    };
    load(output_gradient_, space.slope_rows, space.slope_panels);
    load(output_tangent_, space.slope_rows_t, space.slope_panels_t);
  }

  void add_lot(const Lot& lot, Space& space) const {
    const std::size_t d = g_.dim, dv = g_.value_dim, ld = size_.keys, c = kernels_.tile_columns;
    lot_scores<T>(call_, lot.block, lot.first, lot.count, lot.keys.first, lot.columns, space.q,
                  space.keys_transposed, ld, space.scores, space.derivative, space.capped);
    lot_tangents<T>(call_, direction_, lot.block, lot.first, lot.count, lot.keys.first, lot.columns, space.q,
                    space.q_t, space.keys_transposed, space.keys_transposed_t, ld, space.derivative,
                    space.scores_t);
    find_slopes(lot, space);
    for (std::size_t r = 0; r < lot.count; ++r) differentiate(lot, r, space);
    // Sums by key: of `factors`' columns times rows of the block.
    const auto add = [&](const T* factors, const T* panels, std::size_t columns, T* sums) {
      kernels_.product_panels({lot.columns, columns, lot.count, factors, ld, true, panels + lot.first * c,
                               lot.block.n_rows, sums, columns, true});
    };
    if (out_.values.wanted()) {
      add(space.slopes_t, space.slope_panels, dv, space.value_sums);
      if (output_tangent_.wanted()) add(space.slopes, space.slope_panels_t, dv, space.value_sums);
    }
    if (out_.keys.wanted()) {
      add(space.scores_t, space.q_panels, d, space.key_sums);
      if (direction_.queries.wanted()) add(space.scores, space.q_panels_t, d, space.key_sums);
    }
  }

 private:
  // Queries times the scale; in panels times e^(c_i - C) too, for dK'.
  void load_queries(const InputRows<T>& rows, const RowBlock& block, Space& space, T* numbers,
                    T* panels) const {
    if (!rows.wanted()) return;
    const std::size_t d = g_.dim, place = g_.first_row(block.b, block.key_head) + block.first;
    const double largest = slopes_.largest_exponent[block.b * g_.n_key_heads + block.key_head];
    T* shifted = space.shifted;
    heads::load_rows(kernels_, g_, rows, block, d, static_cast<T>(g_.scale), numbers);
    clear_blind_rows(space.ranges.data(), block.n_rows, d, numbers);
    std::copy_n(numbers, block.n_rows * d, shifted);
    for (std::size_t r = 0; r < block.n_rows; ++r)
      kernels_.scale_row(d, static_cast<T>(std::exp(slopes_.attention.exponent[place + r] - largest)), T(1),
                         shifted + r * d);
    pack_panels(kernels_, {shifted, d}, block.n_rows, d, panels);
  }

  // D = dO V^T and D' = dO' V^T + dO V'^T
  void find_slopes(const Lot& lot, Space& space) const {
    const std::size_t dv = g_.value_dim, ld = size_.keys;
    const auto product = [&](const T* rows, const T* values, T* out, bool add) {
      kernels_.product_panels(
          {lot.count, lot.columns, dv, rows + lot.first * dv, dv, false, values, dv, out, ld, add});
    };
    product(space.slope_rows, space.values_transposed, space.slopes, false);
    for (std::size_t r = 0; r < lot.count; ++r) std::fill_n(space.slopes_t + r * ld, lot.columns, T(0));
    if (output_tangent_.wanted()) product(space.slope_rows_t, space.values_transposed, space.slopes_t, true);
    if (direction_.values.wanted())
      product(space.slope_rows, space.values_transposed_t, space.slopes_t, true);
  }

  // Row r of the lot: scores, scores', slopes, slopes' become ds e^-c, ds' e^-c, p and p'.
  void differentiate(const Lot& lot, std::size_t r, Space& space) const {
    const std::size_t k = g_.first_row(lot.block.b, lot.block.key_head) + lot.block.first + lot.first + r;
    const std::size_t ld = size_.keys, n = lot.columns;
    T *s = space.scores + r * ld, *s_t = space.scores_t + r * ld, *slope = space.slopes + r * ld,
      *slope_t = space.slopes_t + r * ld;
    // A row with one key, or none, has no rest; NaN stays.
    const bool has_rest =
        state_.second[k] > -std::numeric_limits<T>::infinity() || std::isnan(state_.rest[k]);
    std::size_t begin = has_rest ? space.seen.begin[lot.first + r] : 0;
    std::size_t end = has_rest ? space.seen.end[lot.first + r] : 0;
    for (T* row : {s, s_t, slope, slope_t}) {
      std::fill_n(row, begin, T(0));
      std::fill_n(row + end, n - end, T(0));
    }
    const T p_a = slopes_.attention.pivot[k], rest = slopes_.attention.rest[k], delta = slopes_.mean_slope[k],
            delta_t = rows_.mean_slope_tangent[k], mean_t = rows_.mean_tangent[k], second = state_.second[k];
    if (space.capped != nullptr) bend(space.capped + r * ld, s_t, n);
    for (std::size_t j = begin; j < end; ++j) s[j] = s[j] > second ? T(0) : s[j] - second;
    kernels_.exp_nonpositive(s + begin, s + begin, end - begin);
    for (std::size_t j = begin; j < end; ++j) {
      const T e = s[j], x = s_t[j] - mean_t, y = slope[j] - delta;
      s[j] = p_a * e * y;
      s_t[j] = p_a * e * (x * y + (slope_t[j] - delta_t));
      slope[j] = rest * e;
      slope_t[j] = rest * e * x;
    }
    const std::size_t pivot = state_.pivot[k] - lot.keys.first;
    const bool holds_pivot =
        state_.pivot[k] != simd::no_pivot && state_.pivot[k] >= lot.keys.first && pivot < n;
    if (holds_pivot) {
      s[pivot] = slopes_.pivot_gradient[k];
      s_t[pivot] = rows_.pivot_gradient_tangent[k];
      slope[pivot] = p_a;
      slope_t[pivot] = rows_.pivot_attention_tangent[k];
    }
    if (space.capped == nullptr) return;
    const T *derivative = space.derivative + r * ld, *bent = space.capped + r * ld;
    for (std::size_t j = 0; j < n; ++j) {
      s_t[j] = s_t[j] * derivative[j] + s[j] * bent[j];
      s[j] *= derivative[j];
    }
  }

  // With y = cap tanh(x / cap): y becomes y'' x' = -(2 y / cap^2) (y' x').
  void bend(T* capped, const T* tangents, std::size_t n) const {
    // y / cap is at most 1, and -2 / cap a number: cap^2 need not be one.
    const T cap = static_cast<T>(g_.soft_cap), factor = static_cast<T>(-2.0 / g_.soft_cap);
    for (std::size_t j = 0; j < n; ++j) capped[j] = capped[j] / cap * tangents[j] * factor;
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const typename HeadsState<T>::Impl& state_;
  const InputRows<T>& output_gradient_;
  const InputRows<T>& output_tangent_;
  const Direction<T>& direction_;
  const Results<T>& out_;
  const RowSlopes<T>& slopes_;
  const HessianRows<T>& rows_;
};

}  // namespace
}  // namespace heads

template <NumberType T>
void attention_hessian_product(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                               const HeadsView<T>& output_gradient, const HeadsDirection<T>& direction,
                               const HeadsGradients<T>& products, const HeadsOptions& options) {
  using namespace heads;
  const Call<T> call(inputs, options);
  const Geometry& g = call.geometry;
  require_state_of(call, state.impl());
  if (!products.bias.empty())
    throw InvalidArgument("products.bias", "given (there is none along a direction)");
  const InputRows<T> slopes_in = g.input(output_gradient, Axis::queries, g.value_dim, "output_gradient");
  const Direction<T> along(call, direction);
  const InputRows<T> slopes_t =
      direction.output_gradient.given()
          ? g.input(direction.output_gradient, Axis::queries, g.value_dim, "direction.output_gradient")
          : InputRows<T>{};
  const Results<T> results(call, products, product_names,
                           {extent_of(g, slopes_in, Axis::queries, g.value_dim, "output_gradient"),
                            extent_of(g, slopes_t, Axis::queries, g.value_dim, "direction.output_gradient"),
                            extent_of(g, along.queries, Axis::queries, g.dim, "direction.queries"),
                            extent_of(g, along.keys, Axis::keys, g.dim, "direction.keys"),
                            extent_of(g, along.values, Axis::keys, g.value_dim, "direction.values")});
  const RowSlopes<T> slopes(call, state.impl(), slopes_in);
  const TangentRows<T> tangents(call, state.impl(), along, slopes.attention.pivot);
  const HessianRows<T> rows(call, state.impl(), slopes, tangents, along, slopes_in, slopes_t);
  const BlockSize size = block_size<T>(std::max(g.dim, g.value_dim), call.kernels.tile_columns, true);
  HessianLots<T> lots(call, size, state.impl(), slopes_in, slopes_t, along, results, slopes, rows);
  KeyPass<T, HessianLots<T>>(call, size, results, slopes, lots).run();
}

template void attention_hessian_product(const HeadsInputs<float>&, const HeadsState<float>&,
                                        const HeadsView<float>&, const HeadsDirection<float>&,
                                        const HeadsGradients<float>&, const HeadsOptions&);
template void attention_hessian_product(const HeadsInputs<double>&, const HeadsState<double>&,
                                        const HeadsView<double>&, const HeadsDirection<double>&,
                                        const HeadsGradients<double>&, const HeadsOptions&);

}  // namespace softstep
