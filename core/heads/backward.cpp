// The backward pass, one block of keys after the other (docs/mathematics.md, section 11.2). A block of keys
// owns its rows of dK and dV; dQ is added to by the blocks in turn.

#include <atomic>
#include <cmath>

#include "core/heads/block_scores.h"
#include "core/heads/row_slopes.h"
#include "core/heads/state.h"
#include "core/heads/store_rows.h"
#include "core/heads/turns.h"
#include "core/threads/team.h"

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
    for (T** block : {&keys_transposed, &key_gradient}) *block = numbers.take(size.keys * d);
    for (T** block : {&values_transposed, &value_gradient}) *block = numbers.take(size.keys * dv);
    key_panels = numbers.take(panels_size(size.keys, d, tile_columns));
    plain = numbers.take(size.keys * std::max(d, dv));
    for (std::size_t** row : {&seen.begin, &seen.end}) *row = places.take(size.rows);
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
  T *keys_transposed, *values_transposed, *key_panels, *key_gradient, *value_gradient, *plain;
  Seen seen;
};

// Keys of one key head that one thread goes through.
struct KeyBlock {
  std::size_t b, key_head, first, n_keys;
};

template <class T>
class Backward {
 public:
  Backward(const Call<T>& call, const HeadsState<T>& state, const HeadsView<T>& output_gradient,
           const HeadsGradients<T>& gradients)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(block_size<T>(std::max(g_.dim, g_.value_dim), kernels_.tile_columns, true)),
        state_(state.impl()),
        output_gradient_(g_.input(output_gradient, Axis::queries, g_.value_dim, "output_gradient")),
        bias_gradient_(gradients.bias),
        query_exponents_(gradients.query_exponents),
        key_exponents_(gradients.key_exponents) {
    check(gradients);
    slopes_ = std::make_unique<RowSlopes<T>>(call, state_, output_gradient_);
    lay_out();
    const std::size_t n_threads =
        std::min<std::size_t>(static_cast<std::size_t>(call.n_threads), blocks_.size());
    for (std::size_t k = 0; k < std::max<std::size_t>(1, n_threads); ++k)
      spaces_.emplace_back(g_, size_, kernels_.tile_columns);
  }

  void run() {
    clear_what_is_added_to();
    std::atomic<std::size_t> next{0};
    with_team<Waits::never>(static_cast<int>(spaces_.size()), [&](const Team& team) {
      // Threads that have a whole group each never wait for another.
      const bool by_groups = first_block_.size() - 1 >= 4 * team.size;
      const std::size_t n = by_groups ? first_block_.size() - 1 : blocks_.size();
      for (std::size_t k = next++; k < n; k = next++)
        for (std::size_t block = by_groups ? first_block_[k] : k,
                         end = by_groups ? first_block_[k + 1] : k + 1;
             block < end; ++block)
          one_block(blocks_[block], spaces_[team.rank]);
    });
  }

 private:
  void check(const HeadsGradients<T>& gradients) {
    if (state_.n_rows != g_.total_rows() || state_.value_dim != g_.value_dim)
      throw InvalidArgument("state",
                            std::to_string(state_.n_rows) + " rows of " + std::to_string(state_.value_dim) +
                                " (the inputs have " + std::to_string(g_.total_rows()) + " of " +
                                std::to_string(g_.value_dim) + "; run attention_forward on them first)");
    std::vector<Extent> outputs;
    const auto resolve = [&](const HeadsSpan<T>& array, Axis axis, std::size_t columns, const char* name) {
      if (!array.wanted()) return OutputRows<T>{};
      const OutputRows<T> out = g_.output(array, axis, columns, name);
      const Extent extent = extent_of(g_, out, axis, columns, name);
      call_.require_apart_from_inputs(extent);
      require_apart(extent, extent_of(g_, output_gradient_, Axis::queries, g_.value_dim, "output_gradient"));
      for (const Extent& other : outputs) require_apart(extent, other);
      outputs.push_back(extent);
      return out;
    };
    query_gradient_ = resolve(gradients.queries, Axis::queries, g_.dim, "gradients.queries");
    key_gradient_ = resolve(gradients.keys, Axis::keys, g_.dim, "gradients.keys");
    value_gradient_ = resolve(gradients.values, Axis::keys, g_.value_dim, "gradients.values");
    const auto check_size = [](std::size_t size, std::size_t wanted, const char* name) {
      if (size != 0 && size != wanted)
        throw InvalidArgument(name, std::to_string(size) + " numbers (need " + std::to_string(wanted) + ")");
    };
    check_size(query_exponents_.size(), g_.total_rows(), "gradients.query_exponents");
    check_size(key_exponents_.size(), g_.batch * g_.n_key_heads, "gradients.key_exponents");
    if (!bias_gradient_.empty() && call_.bias.numbers.empty())
      throw InvalidArgument("gradients.bias", "given (the inputs have no bias)");
    check_size(bias_gradient_.size(), call_.bias.numbers.size(), "gradients.bias");
  }

  // Blocks of keys and of rows, and in which turns the former add to the latter.
  void lay_out() {
    for (std::size_t b = 0; b < g_.batch; ++b)
      for (std::size_t h = 0; h < g_.n_key_heads; ++h) {
        first_row_block_.push_back(row_blocks_.size());
        first_block_.push_back(blocks_.size());
        for (std::size_t first = 0; first < g_.group * g_.queries_of(b); first += size_.rows)
          add_row_block({b, h, first, std::min(size_.rows, g_.group * g_.queries_of(b) - first)});
        for (std::size_t first = 0; first < g_.stored_keys_of(b); first += size_.keys)
          blocks_.push_back({b, h, first, std::min(size_.keys, g_.stored_keys_of(b) - first)});
      }
    first_row_block_.push_back(row_blocks_.size());
    first_block_.push_back(blocks_.size());
    turns_ = std::make_unique<Turns>(row_blocks_.size());
    for (std::size_t k = 0; k < row_blocks_.size(); ++k) turns_->begin(k, seen_blocks_[k].begin);
    const std::size_t key_blocks = (g_.most_keys() + size_.keys - 1) / size_.keys;
    bias_turns_ = std::make_unique<Turns>(key_blocks);
    for (std::size_t k = 0; k < key_blocks; ++k) bias_turns_->begin(k, 0);
    if (query_gradient_.in_halves()) query_sums_.resize(g_.total_rows() * g_.dim);
  }
  void add_row_block(const RowBlock& block) {
    ranges_.resize(block.n_rows);
    ranges_of(block, ranges_.data());
    const KeyRange seen = seen_by_any(ranges_.data(), block.n_rows);
    row_blocks_.push_back(block);
    seen_blocks_.push_back({seen.begin / size_.keys, (seen.end + size_.keys - 1) / size_.keys});
  }
  void ranges_of(const RowBlock& block, KeyRange* ranges) const {
    const std::size_t m = g_.queries_of(block.b);
    for (std::size_t r = 0; r < block.n_rows; ++r) ranges[r] = g_.seen_by(block.b, (block.first + r) % m);
  }

  // Rows of dQ where they are added up: the caller's, or sums that are rounded to 16 bits in the end.
  struct Sums {
    T* rows;
    std::size_t ld;
  };
  Sums query_sums(const RowBlock& block, const Run& run, std::size_t before) {
    if (query_gradient_.in_halves())
      return {query_sums_.data() + (g_.first_row(block.b, block.key_head) + block.first + before) * g_.dim,
              g_.dim};
    return {query_gradient_.numbers +
                query_gradient_.place(block.b, run.head, g_.first_query(block.b), run.first_query),
            0};
  }
  template <class Body>
  void for_each_run_of(const RowBlock& block, std::size_t first, std::size_t n, Body body) {
    for_each_run(block.key_head * g_.group, g_.queries_of(block.b), block.first + first, n, body);
  }
  T* query_row(const RowBlock& block, const Run& run, std::size_t before, std::size_t r) {
    const Sums sums = query_sums(block, run, before);
    return sums.ld != 0 ? sums.rows + r * sums.ld
                        : sums.rows + static_cast<std::ptrdiff_t>(r) * query_gradient_.row;
  }

  void clear_what_is_added_to() {
    std::copy_n(slopes_->largest_exponent.begin(), key_exponents_.size(), key_exponents_.begin());
    if (!bias_gradient_.empty()) std::fill(bias_gradient_.begin(), bias_gradient_.end(), T(0));
    for (std::size_t k = 0; query_gradient_.wanted() && k < row_blocks_.size(); ++k) {
      for_each_run_of(row_blocks_[k], 0, row_blocks_[k].n_rows, [&](const Run& run, std::size_t before) {
        for (std::size_t r = 0; r < run.n_rows; ++r)
          std::fill_n(query_row(row_blocks_[k], run, before, r), g_.dim, T(0));
      });
      if (seen_blocks_[k].begin == seen_blocks_[k].end) conclude_queries(row_blocks_[k]);
    }
    if (!query_exponents_.empty() && !query_gradient_.wanted())
      for (const RowBlock& block : row_blocks_) conclude_queries(block);
  }

  void one_block(const KeyBlock& keys, BackwardSpace<T>& space) {
    const std::size_t n = keys.n_keys, offset = g_.first_key(keys.b);
    const std::size_t group = keys.b * g_.n_key_heads + keys.key_head, turn = keys.first / size_.keys;
    const PlainRows<T> plain_keys =
        plain_rows(kernels_, call_.keys, call_.keys.place(keys.b, keys.key_head, offset, keys.first), n,
                   g_.dim, space.plain);
    pack_transposed(kernels_, plain_keys, n, g_.dim, space.keys_transposed);
    pack_panels(kernels_, plain_keys, n, g_.dim, space.key_panels);
    pack_transposed(
        kernels_,
        plain_rows(kernels_, call_.values, call_.values.place(keys.b, keys.key_head, offset, keys.first), n,
                   g_.value_dim, space.plain),
        n, g_.value_dim, space.values_transposed);
    std::fill_n(space.key_gradient, n * g_.dim, T(0));
    std::fill_n(space.value_gradient, n * g_.value_dim, T(0));
    const bool with_bias = !bias_gradient_.empty();
    if (with_bias) bias_turns_->wait(turn, group);
    for (std::size_t k = first_row_block_[group]; k < first_row_block_[group + 1]; ++k) {
      if (turn < seen_blocks_[k].begin || turn >= seen_blocks_[k].end) continue;
      add_rows(keys, k, space);
    }
    if (with_bias) bias_turns_->pass(turn, group);
    conclude_keys(keys, space);
  }

  void add_rows(const KeyBlock& keys, std::size_t k, BackwardSpace<T>& space) {
    const RowBlock& block = row_blocks_[k];
    const std::size_t turn = keys.first / size_.keys;
    pack_block(block, space);
    for_each_lot(space.ranges.data(), block.n_rows, size_.lot, keys.first, keys.n_keys, space.seen,
                 [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
                   add_lot(block, keys, first, count, columns, whole, space);
                   if (!query_gradient_.wanted()) return;
                   turns_->wait(k, turn);
                   add_to_queries(block, keys, first, count, columns, space);
                 });
    if (!query_gradient_.wanted()) return;
    turns_->wait(k, turn);  // also where no row of the block sees a key of these
    if (turn + 1 == seen_blocks_[k].end) conclude_queries(block);
    turns_->pass(k, turn);
  }

  void add_lot(const RowBlock& block, const KeyBlock& keys, std::size_t first, std::size_t count,
               std::size_t columns, bool whole, BackwardSpace<T>& space) {
    const std::size_t d = g_.dim, dv = g_.value_dim, ld = size_.keys, c = kernels_.tile_columns;
    T *scores = space.scores, *slopes = space.slopes;
    lot_scores<T>(call_, block, first, count, keys.first, columns, space.q, space.keys_transposed, ld, scores,
                  space.derivative);
    kernels_.product_panels({count, columns, dv, space.output_gradient + first * dv, dv, false,
                             space.values_transposed, dv, slopes, ld, false});
    softmax_gradient(block, keys, first, count, columns, whole, space);
    if (!bias_gradient_.empty()) add_to_bias(block, keys, first, count, columns, space);
    if (space.derivative != nullptr)
      for (std::size_t r = 0; r < count; ++r)
        for (std::size_t j = 0; j < columns; ++j) scores[r * ld + j] *= space.derivative[r * ld + j];
    if (value_gradient_.wanted())
      kernels_.product_panels({columns, dv, count, slopes, ld, true, space.output_panels + first * c,
                               block.n_rows, space.value_gradient, dv, true});
    if (key_gradient_.wanted())
      kernels_.product_panels({columns, d, count, scores, ld, true, space.query_panels + first * c,
                               block.n_rows, space.key_gradient, d, true});
  }

  void pack_block(const RowBlock& block, BackwardSpace<T>& space) {
    const std::size_t d = g_.dim, dv = g_.value_dim,
                      place = g_.first_row(block.b, block.key_head) + block.first;
    const double largest = slopes_->largest_exponent[block.b * g_.n_key_heads + block.key_head];
    for_each_run_of(block, 0, block.n_rows, [&](const Run& run, std::size_t before) {
      const std::size_t first = g_.first_query(block.b);
      pack(kernels_, call_.queries, call_.queries.place(block.b, run.head, first, run.first_query),
           run.n_rows, d, static_cast<T>(g_.scale), space.q + before * d, d);
      pack(kernels_, output_gradient_, output_gradient_.place(block.b, run.head, first, run.first_query),
           run.n_rows, dv, T(1), space.output_gradient + before * dv, dv);
    });
    // dK takes each row e^(c_i - C) times.
    std::copy_n(space.q, block.n_rows * d, space.shifted_q);
    for (std::size_t r = 0; r < block.n_rows; ++r)
      kernels_.scale_row(d, static_cast<T>(std::exp(slopes_->exponent[place + r] - largest)), T(1),
                         space.shifted_q + r * d);
    pack_panels(kernels_, {space.shifted_q, d}, block.n_rows, d, space.query_panels);
    pack_panels(kernels_, {space.output_gradient, dv}, block.n_rows, dv, space.output_panels);
    ranges_of(block, space.ranges.data());
  }

  void softmax_gradient(const RowBlock& block, const KeyBlock& keys, std::size_t first, std::size_t count,
                        std::size_t columns, bool whole, BackwardSpace<T>& space) {
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first + first, ld = size_.keys;
    simd::SoftmaxGradientArgs<T> args{};
    args.n_rows = count;
    args.n_keys = columns;
    args.scores = space.scores;
    args.slopes = space.slopes;
    args.ld = ld;
    args.begin = whole ? nullptr : space.seen.begin + first;
    args.end = whole ? nullptr : space.seen.end + first;
    args.first_key = keys.first;
    args.second = state_.second.data() + place;
    args.pivot = state_.pivot.data() + place;
    args.pivot_attention = slopes_->pivot_attention.data() + place;
    args.rest_attention = slopes_->rest_attention.data() + place;
    args.mean_slope = slopes_->mean_slope.data() + place;
    args.pivot_gradient = slopes_->pivot_gradient.data() + place;
    kernels_.softmax_gradient(args);
  }

  void add_to_bias(const RowBlock& block, const KeyBlock& keys, std::size_t first, std::size_t count,
                   std::size_t columns, BackwardSpace<T>& space) {
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first, m = g_.queries_of(block.b);
    for (std::size_t r = first; r < first + count; ++r) {
      const std::size_t row = block.first + r;
      const double exponent = slopes_->exponent[place + r];
      const T* scores = space.scores + (r - first) * size_.keys;
      T* out = bias_gradient_.data() +
               call_.bias_place(block.b, block.key_head * g_.group + row / m, row % m) + keys.first;
      const T power = static_cast<T>(std::exp(exponent));
      if (power >= std::numeric_limits<T>::min()) {
        kernels_.axpy(columns, power, scores, out);
        continue;
      }
      // The power is below what T holds; its product with a large slope may not be.
      const double half_power = std::exp(0.5 * exponent);
      for (std::size_t j = 0; j < columns; ++j)
        out[j] += static_cast<T>(static_cast<double>(scores[j]) * half_power * half_power);
    }
  }

  void add_to_queries(const RowBlock& block, const KeyBlock& keys, std::size_t first, std::size_t count,
                      std::size_t columns, BackwardSpace<T>& space) {
    const std::size_t d = g_.dim, n = keys.n_keys;
    for_each_run_of(block, first, count, [&](const Run& run, std::size_t before) {
      const T* scores = space.scores + before * size_.keys;
      const Sums sums = query_sums(block, run, first + before);
      if (sums.ld == 0 && query_gradient_.row < 0) {
        for (std::size_t r = 0; r < run.n_rows; ++r)
          kernels_.product_panels({1, d, columns, scores + r * size_.keys, size_.keys, false,
                                   space.key_panels, n, query_row(block, run, first + before, r), d, true});
        return;
      }
      const std::size_t ld = sums.ld != 0 ? sums.ld : static_cast<std::size_t>(query_gradient_.row);
      kernels_.product_panels(
          {run.n_rows, d, columns, scores, size_.keys, false, space.key_panels, n, sums.rows, ld, true});
    });
  }

  // Rows of dQ times scale, and e^c unless that is wanted beside them.
  void conclude_queries(const RowBlock& block) {
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first;
    for_each_run_of(block, 0, block.n_rows, [&](const Run& run, std::size_t before) {
      for (std::size_t r = 0; r < run.n_rows; ++r) {
        const double c = slopes_->exponent[place + before + r];
        const std::size_t i = run.first_query + r;
        double half_power = 1.0;
        if (query_exponents_.empty())
          half_power = std::exp(0.5 * c);
        else
          query_exponents_[g_.row_place(block.b, run.head, i)] = std::isfinite(c) ? c : 0.0;
        if (!query_gradient_.wanted()) continue;
        T* row = query_row(block, run, before, r);
        kernels_.scale_row(g_.dim, static_cast<T>(g_.scale * half_power), static_cast<T>(half_power), row);
        if (query_gradient_.in_halves())
          store_row(row, g_.dim, query_gradient_,
                    query_gradient_.place(block.b, run.head, g_.first_query(block.b), i));
      }
    });
  }

  void conclude_keys(const KeyBlock& keys, BackwardSpace<T>& space) {
    const double largest = slopes_->largest_exponent[keys.b * g_.n_key_heads + keys.key_head];
    const double half_power = key_exponents_.empty() ? std::exp(0.5 * largest) : 1.0;
    for (std::size_t j = 0; j < keys.n_keys; ++j) {
      const std::size_t first = g_.first_key(keys.b), key = keys.first + j;
      if (key_gradient_.wanted()) {
        T* row = space.key_gradient + j * g_.dim;
        kernels_.scale_row(g_.dim, static_cast<T>(half_power), static_cast<T>(half_power), row);
        store_row(row, g_.dim, key_gradient_, key_gradient_.place(keys.b, keys.key_head, first, key));
      }
      if (value_gradient_.wanted())
        store_row(space.value_gradient + j * g_.value_dim, g_.value_dim, value_gradient_,
                  value_gradient_.place(keys.b, keys.key_head, first, key));
    }
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const typename HeadsState<T>::Impl& state_;
  const InputRows<T> output_gradient_;
  const std::span<T> bias_gradient_;
  const std::span<double> query_exponents_, key_exponents_;
  OutputRows<T> query_gradient_, key_gradient_, value_gradient_;
  std::unique_ptr<RowSlopes<T>> slopes_;
  std::vector<KeyBlock> blocks_;
  std::vector<RowBlock> row_blocks_;
  std::vector<KeyRange> seen_blocks_;                       // of each row block: which blocks of keys it sees
  std::vector<std::size_t> first_block_, first_row_block_;  // of each batch entry and key head, and one past
  std::vector<KeyRange> ranges_;
  std::unique_ptr<Turns> turns_, bias_turns_;
  LargeArray<T> query_sums_;
  std::vector<BackwardSpace<T>> spaces_;
};

}  // namespace
}  // namespace heads

template <NumberType T>
void attention_backward(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                        const HeadsView<T>& output_gradient, const HeadsGradients<T>& gradients,
                        const HeadsOptions& options) {
  const heads::Call<T> call(inputs, options);
  heads::Backward<T>(call, state, output_gradient, gradients).run();
}

template void attention_backward(const HeadsInputs<float>&, const HeadsState<float>&, const HeadsView<float>&,
                                 const HeadsGradients<float>&, const HeadsOptions&);
template void attention_backward(const HeadsInputs<double>&, const HeadsState<double>&,
                                 const HeadsView<double>&, const HeadsGradients<double>&,
                                 const HeadsOptions&);

}  // namespace softstep
