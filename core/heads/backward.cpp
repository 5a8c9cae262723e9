// The backward pass (docs/mathematics.md, section 11.2).

#include <cmath>

#include "core/heads/key_pass.h"
#include "core/heads/state.h"

namespace softstep {
namespace heads {
namespace {

template <class T>
struct BackwardSpace {
  BackwardSpace(const Geometry& g, BlockSize size, std::size_t tile_columns)
      : numbers(total(g, size, tile_columns)),
        places(2 * WorkSpace<std::size_t>::rounded(size.rows)),
        ranges(size.rows) {
    const std::size_t d = g.dim, dv = g.value_dim;
    for (T** rows : {&q, &shifted_q}) *rows = numbers.take(size.rows * d);
    output_gradient = numbers.take(size.rows * dv);
    query_panels = numbers.take(panels_size(size.rows, d, tile_columns));
    output_panels = numbers.take(panels_size(size.rows, dv, tile_columns));
    for (T** block : {&scores, &slopes, &derivative}) *block = numbers.take(size.lot * size.keys);
    if (!(g.soft_cap > 0.0)) derivative = nullptr;
    for (T** block : {&keys_transposed, &key_sums}) *block = numbers.take(size.keys * d);
    for (T** block : {&values_transposed, &value_sums}) *block = numbers.take(size.keys * dv);
    key_panels = numbers.take(panels_size(size.keys, d, tile_columns));
    plain = numbers.take(size.keys * std::max(d, dv));
    for (std::size_t** row : {&seen.begin, &seen.end}) *row = places.take(size.rows);
    query_terms[0] = {scores, key_panels};
  }
  static std::size_t total(const Geometry& g, BlockSize size, std::size_t tile_columns) {
    const auto rounded = [](std::size_t n) { return WorkSpace<T>::rounded(n); };
    const std::size_t d = g.dim, dv = g.value_dim;
    return 2 * rounded(size.rows * d) + rounded(size.rows * dv) +
           rounded(panels_size(size.rows, d, tile_columns)) +
           rounded(panels_size(size.rows, dv, tile_columns)) + 3 * rounded(size.lot * size.keys) +
           2 * rounded(size.keys * d) + 2 * rounded(size.keys * dv) +
           rounded(panels_size(size.keys, d, tile_columns)) + rounded(size.keys * std::max(d, dv));
  }
  WorkSpace<T> numbers;
  WorkSpace<std::size_t> places;
  std::vector<KeyRange> ranges;
  T *q, *shifted_q, *output_gradient, *query_panels, *output_panels, *scores, *slopes, *derivative;
  T *keys_transposed, *values_transposed, *key_panels, *key_sums, *value_sums, *plain;
  Seen seen;
  QueryTerm<T> query_terms[1];
};

template <class T>
class BackwardLots {
 public:
  using Space = BackwardSpace<T>;

  BackwardLots(const Call<T>& call, const BlockSize& size, const typename HeadsState<T>::Impl& state,
               const InputRows<T>& output_gradient, const Results<T>& results, const RowSlopes<T>& slopes)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(size),
        state_(state),
        output_gradient_(output_gradient),
        out_(results),
        slopes_(slopes) {}

  std::unique_ptr<Space> make_space() const {
    return std::make_unique<Space>(g_, size_, kernels_.tile_columns);
  }

  void load_keys(const KeyBlock& keys, Space& space) const {
    const std::size_t n = keys.n_keys, d = g_.dim, dv = g_.value_dim;
    const auto plain = [&](const InputRows<T>& rows, std::size_t columns) {
      return plain_key_rows(kernels_, g_, rows, keys.b, keys.key_head, keys.first, n, columns, space.plain);
    };
    const PlainRows<T> plain_keys = plain(call_.keys, d);
    pack_transposed(kernels_, plain_keys, n, d, space.keys_transposed);
    pack_panels(kernels_, plain_keys, n, d, space.key_panels);
    pack_transposed(kernels_, plain(call_.values, dv), n, dv, space.values_transposed);
  }

  void load_rows(const RowBlock& block, Space& space) const {
    const std::size_t d = g_.dim, dv = g_.value_dim,
                      place = g_.first_row(block.b, block.key_head) + block.first;
    const double largest = slopes_.largest_exponent[block.b * g_.n_key_heads + block.key_head];
    ranges_of(g_, block, space.ranges.data());
    heads::load_rows(kernels_, g_, call_.queries, block, d, static_cast<T>(g_.scale), space.q);
    clear_blind_rows(space.ranges.data(), block.n_rows, d, space.q);
    heads::load_rows(kernels_, g_, output_gradient_, block, dv, T(1), space.output_gradient);
    clear_blind_rows(space.ranges.data(), block.n_rows, dv, space.output_gradient);
    // dK takes each row e^(c_i - C) times.
    std::copy_n(space.q, block.n_rows * d, space.shifted_q);
    for (std::size_t r = 0; r < block.n_rows; ++r)
      kernels_.scale_row(d, static_cast<T>(std::exp(slopes_.attention.exponent[place + r] - largest)), T(1),
                         space.shifted_q + r * d);
    pack_panels(kernels_, {space.shifted_q, d}, block.n_rows, d, space.query_panels);
    pack_panels(kernels_, {space.output_gradient, dv}, block.n_rows, dv, space.output_panels);
  }

  void add_lot(const Lot& lot, Space& space) const {
    const std::size_t d = g_.dim, dv = g_.value_dim, ld = size_.keys, c = kernels_.tile_columns;
    const std::size_t n_rows = lot.block.n_rows;
    T *scores = space.scores, *slopes = space.slopes;
    lot_scores<T>(call_, lot.block, lot.first, lot.count, lot.keys.first, lot.columns, space.q,
                  space.keys_transposed, ld, scores, space.derivative);
    kernels_.product_panels({lot.count, lot.columns, dv, space.output_gradient + lot.first * dv, dv, false,
                             space.values_transposed, dv, slopes, ld, false});
    differentiate(lot, space);
    if (!out_.bias.empty()) add_to_bias(lot, space);
    if (space.derivative != nullptr)
      for (std::size_t r = 0; r < lot.count; ++r)
        for (std::size_t j = 0; j < lot.columns; ++j) scores[r * ld + j] *= space.derivative[r * ld + j];
    if (out_.values.wanted())
      kernels_.product_panels({lot.columns, dv, lot.count, slopes, ld, true,
                               space.output_panels + lot.first * c, n_rows, space.value_sums, dv, true});
    if (out_.keys.wanted())
      kernels_.product_panels({lot.columns, d, lot.count, scores, ld, true,
                               space.query_panels + lot.first * c, n_rows, space.key_sums, d, true});
  }

 private:
  // Scores and slopes become ds e^-c and p.
  void differentiate(const Lot& lot, Space& space) const {
    const std::size_t place = g_.first_row(lot.block.b, lot.block.key_head) + lot.block.first + lot.first;
    simd::SoftmaxGradientArgs<T> args{};
    args.n_rows = lot.count;
    args.n_keys = lot.columns;
    args.scores = space.scores;
    args.slopes = space.slopes;
    args.ld = size_.keys;
    args.begin = lot.whole ? nullptr : space.seen.begin + lot.first;
    args.end = lot.whole ? nullptr : space.seen.end + lot.first;
    args.first_key = lot.keys.first;
    args.second = state_.second.data() + place;
    args.pivot = state_.pivot.data() + place;
    args.pivot_attention = slopes_.attention.pivot.data() + place;
    args.rest_attention = slopes_.attention.rest.data() + place;
    args.mean_slope = slopes_.mean_slope.data() + place;
    args.pivot_gradient = slopes_.pivot_gradient.data() + place;
    kernels_.softmax_gradient(args);
  }

  void add_to_bias(const Lot& lot, Space& space) const {
    const RowBlock& block = lot.block;
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first, m = g_.queries_of(block.b);
    for (std::size_t r = 0; r < lot.count; ++r) {
      const std::size_t row = block.first + lot.first + r;
      const double exponent = slopes_.attention.exponent[place + lot.first + r];
      const T* scores = space.scores + r * size_.keys;
      T* out = out_.bias.data() + call_.bias_place(block.b, block.key_head * g_.group + row / m, row % m) +
               lot.keys.first;
      const T power = static_cast<T>(std::exp(exponent));
      if (power >= std::numeric_limits<T>::min()) {
        kernels_.axpy(lot.columns, power, scores, out);
        continue;
      }
      // The power is below what T holds; its product with a large slope may not be.
      const double half_power = std::exp(0.5 * exponent);
      for (std::size_t j = 0; j < lot.columns; ++j)
        out[j] += static_cast<T>(static_cast<double>(scores[j]) * half_power * half_power);
    }
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const typename HeadsState<T>::Impl& state_;
  const InputRows<T>& output_gradient_;
  const Results<T>& out_;
  const RowSlopes<T>& slopes_;
};

}  // namespace
}  // namespace heads

template <NumberType T>
void attention_backward(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                        const HeadsView<T>& output_gradient, const HeadsGradients<T>& gradients,
                        const HeadsOptions& options) {
  using namespace heads;
  const Call<T> call(inputs, options);
  const Geometry& g = call.geometry;
  require_state_of(call, state.impl());
  const InputRows<T> slopes_in = g.input(output_gradient, Axis::queries, g.value_dim, "output_gradient");
  const Results<T> results(call, gradients, gradient_names,
                           {extent_of(g, slopes_in, Axis::queries, g.value_dim, "output_gradient")});
  const RowSlopes<T> slopes(call, state.impl(), slopes_in);
  const BlockSize size = block_size<T>(std::max(g.dim, g.value_dim), call.kernels.tile_columns, true);
  BackwardLots<T> lots(call, size, state.impl(), slopes_in, results, slopes);
  KeyPass<T, BackwardLots<T>>(call, size, results, slopes, lots).run();
}

template void attention_backward(const HeadsInputs<float>&, const HeadsState<float>&, const HeadsView<float>&,
                                 const HeadsGradients<float>&, const HeadsOptions&);
template void attention_backward(const HeadsInputs<double>&, const HeadsState<double>&,
                                 const HeadsView<double>&, const HeadsGradients<double>&,
                                 const HeadsOptions&);

}  // namespace softstep
