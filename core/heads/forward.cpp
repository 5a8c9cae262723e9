// The forward pass, one block of rows after the other (docs/mathematics.md, section 11.1).

#include <atomic>
#include <cmath>

#include "core/heads/block_scores.h"
#include "core/heads/state.h"
#include "core/heads/store_rows.h"
#include "core/threads/team.h"

namespace softstep {
namespace heads {
namespace {

template <class T>
struct ForwardSpace {
  ForwardSpace(const Geometry& g, BlockSize size)
      : numbers(4 * WorkSpace<T>::rounded(size.rows * std::max(g.dim, g.value_dim)) +
                WorkSpace<T>::rounded(size.rows * size.keys) +
                3 * WorkSpace<T>::rounded(size.keys * std::max(g.dim, g.value_dim)) +
                5 * WorkSpace<T>::rounded(size.rows)),
        places(5 * WorkSpace<std::size_t>::rounded(size.rows)),
        ranges(size.rows) {
    q = numbers.take(size.rows * g.dim);
    own.rest_values = numbers.take(size.rows * g.value_dim);
    value = numbers.take(g.value_dim);
    result = numbers.take(g.value_dim);
    scores = numbers.take(size.rows * size.keys);
    keys = numbers.take(size.keys * g.dim);
    plain_keys = numbers.take(size.keys * g.dim);
    plain_values = numbers.take(size.keys * g.value_dim);
    for (T** row : {&own.top, &own.second, &own.rest, &decay, &former_weight}) *row = numbers.take(size.rows);
    for (std::size_t** row : {&own.pivot, &former, &seen.begin, &seen.end}) *row = places.take(size.rows);
  }
  WorkSpace<T> numbers;
  WorkSpace<std::size_t> places;
  std::vector<KeyRange> ranges;
  T *q, *scores, *keys, *plain_keys, *plain_values, *decay, *former_weight, *value, *result;
  RowsAt<T> own;
  std::size_t* former;
  Seen seen;
};

template <class T>
class Forward {
 public:
  Forward(const Call<T>& call, const HeadsOutputs<T>& outputs)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(block_size<T>(std::max(g_.dim, g_.value_dim), kernels_.vector_width, false)),
        out_(g_.output(outputs.outputs, Axis::queries, g_.value_dim, "outputs")),
        log_sum_exp_(outputs.log_sum_exp),
        state_(outputs.state) {
    if (!log_sum_exp_.empty() && log_sum_exp_.size() != g_.total_rows())
      throw InvalidArgument("log_sum_exp", std::to_string(log_sum_exp_.size()) + " numbers (need " +
                                               std::to_string(g_.total_rows()) + ")");
    call.require_apart_from_inputs(extent_of(g_, out_, Axis::queries, g_.value_dim, "outputs"));
    for (std::size_t b = 0; b < g_.batch; ++b)
      for (std::size_t k = 0; k < g_.n_key_heads; ++k)
        for (std::size_t first = 0; first < g_.group * g_.queries_of(b); first += size_.rows)
          blocks_.push_back({b, k, first, std::min(size_.rows, g_.group * g_.queries_of(b) - first)});
    if (state_) state_->impl().resize(g_.total_rows(), g_.value_dim);
    const std::size_t n_threads =
        std::min<std::size_t>(static_cast<std::size_t>(call.n_threads), blocks_.size());
    for (std::size_t k = 0; k < std::max<std::size_t>(1, n_threads); ++k) spaces_.emplace_back(g_, size_);
  }

  void run() {
    std::atomic<std::size_t> next{0};
    with_team<Waits::never>(static_cast<int>(spaces_.size()), [&](const Team& team) {
      // The last rows see the most keys under a causal mask: first.
      for (std::size_t k = next++; k < blocks_.size(); k = next++)
        attend(blocks_[blocks_.size() - 1 - k], spaces_[team.rank]);
    });
  }

 private:
  RowsAt<T> rows_of(const RowBlock& block, ForwardSpace<T>& space) {
    if (!state_) return space.own;
    auto& state = state_->impl();
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first;
    return {state.rest_values.data() + place * g_.value_dim, state.top.data() + place,
            state.second.data() + place, state.rest.data() + place, state.pivot.data() + place};
  }

  void attend(const RowBlock& block, ForwardSpace<T>& space) {
    const RowsAt<T> rows = rows_of(block, space);
    const std::size_t n = block.n_rows, m = g_.queries_of(block.b);
    std::fill_n(rows.rest_values, n * g_.value_dim, T(0));
    std::fill_n(rows.top, n, -std::numeric_limits<T>::infinity());
    std::fill_n(rows.second, n, -std::numeric_limits<T>::infinity());
    std::fill_n(rows.rest, n, T(0));
    std::fill_n(rows.pivot, n, simd::no_pivot);
    for_each_run(block.key_head * g_.group, m, block.first, n, [&](const Run& run, std::size_t before) {
      pack(kernels_, call_.queries,
           call_.queries.place(block.b, run.head, g_.first_query(block.b), run.first_query), run.n_rows,
           g_.dim, static_cast<T>(g_.scale), space.q + before * g_.dim, g_.dim);
      for (std::size_t r = 0; r < run.n_rows; ++r)
        space.ranges[before + r] = g_.seen_by(block.b, run.first_query + r);
    });
    const KeyRange seen = seen_by_any(space.ranges.data(), n);
    for (std::size_t first = seen.begin / size_.keys * size_.keys; first < seen.end; first += size_.keys)
      add_keys(block, rows, first, std::min(size_.keys, seen.end - first), space);
    conclude(block, rows, space);
  }

  // What the block's rows take from the keys first_key .. first_key + n_keys - 1.
  void add_keys(const RowBlock& block, const RowsAt<T>& rows, std::size_t first_key, std::size_t n_keys,
                ForwardSpace<T>& space) {
    const std::size_t ld = size_.keys, dv = g_.value_dim, offset = g_.first_key(block.b);
    transpose(kernels_,
              plain_rows(kernels_, call_.keys, call_.keys.place(block.b, block.key_head, offset, first_key),
                         n_keys, g_.dim, space.plain_keys),
              n_keys, g_.dim, space.keys, ld);
    const PlainRows<T> values =
        plain_rows(kernels_, call_.values, call_.values.place(block.b, block.key_head, offset, first_key),
                   n_keys, dv, space.plain_values);
    for_each_lot(space.ranges.data(), block.n_rows, first_key, n_keys, space.seen,
                 [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
                   lot_scores<T>(call_, block, first, count, first_key, columns, space.q, space.keys, ld,
                                 space.scores, nullptr);
                   kernels_.softmax_rows({count, columns, space.scores + first * ld, ld,
                                          whole ? nullptr : space.seen.begin + first,
                                          whole ? nullptr : space.seen.end + first, first_key,
                                          rows.top + first, rows.second + first, rows.pivot + first,
                                          rows.rest + first, space.decay, space.former_weight, space.former});
                   for (std::size_t r = 0; r < count; ++r) {
                     T* values_of_rest = rows.rest_values + (first + r) * dv;
                     if (space.decay[r] != T(1)) kernels_.scale_row(dv, space.decay[r], T(1), values_of_rest);
                     if (space.former_weight[r] != T(0))
                       kernels_.axpy(dv, space.former_weight[r],
                                     value_row(block, space.former[r], space.value), values_of_rest);
                   }
                   kernels_.product_nn({count, dv, columns, space.scores + first * ld, ld, values.rows,
                                        values.ld, rows.rest_values + first * dv, dv, true, T(1)});
                 });
  }

  // v_j as numbers of T.
  const T* value_row(const RowBlock& block, std::size_t key, T* room) const {
    return plain_rows(kernels_, call_.values,
                      call_.values.place(block.b, block.key_head, g_.first_key(block.b), key), 1,
                      g_.value_dim, room)
        .rows;
  }

  void conclude(const RowBlock& block, const RowsAt<T>& rows, ForwardSpace<T>& space) {
    const std::size_t dv = g_.value_dim, m = g_.queries_of(block.b);
    for (std::size_t r = 0; r < block.n_rows; ++r) {
      const std::size_t row = block.first + r, h = block.key_head * g_.group + row / m, i = row % m;
      const bool to_halves = out_.in_halves();
      const std::ptrdiff_t place = out_.place(block.b, h, g_.first_query(block.b), i);
      T* out = to_halves ? space.result : out_.numbers + place;
      // o = p_a v_a + (p_a e^c) R
      const bool sees = rows.pivot[r] != simd::no_pivot;
      const T power = std::exp(rows.second[r] - rows.top[r]),
              shifted =
                  rows.second[r] > -std::numeric_limits<T>::infinity() ? power * rows.rest[r] : rows.rest[r];
      const T pivot_attention = sees ? T(1) / (T(1) + shifted) : T(0);
      std::copy_n(rows.rest_values + r * dv, dv, out);
      kernels_.scale_row(
          dv, sees && rows.second[r] > -std::numeric_limits<T>::infinity() ? pivot_attention * power : T(1),
          T(1), out);
      if (sees) kernels_.axpy(dv, pivot_attention, value_row(block, rows.pivot[r], space.value), out);
      if (to_halves) store_row(out, dv, out_, place);
      if (!log_sum_exp_.empty())
        log_sum_exp_[g_.row_place(block.b, h, i)] = sees ? rows.top[r] + std::log1p(shifted) : rows.top[r];
    }
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const OutputRows<T> out_;
  const std::span<T> log_sum_exp_;
  HeadsState<T>* const state_;
  std::vector<RowBlock> blocks_;
  std::vector<ForwardSpace<T>> spaces_;
};

}  // namespace
}  // namespace heads

template <NumberType T>
HeadsState<T>::HeadsState() : impl_(std::make_unique<Impl>()) {}
template <NumberType T>
HeadsState<T>::~HeadsState() = default;
template <NumberType T>
HeadsState<T>::HeadsState(HeadsState&&) noexcept = default;
template <NumberType T>
HeadsState<T>& HeadsState<T>::operator=(HeadsState&&) noexcept = default;

template <NumberType T>
void attention_forward(const HeadsInputs<T>& inputs, const HeadsOutputs<T>& outputs,
                       const HeadsOptions& options) {
  const heads::Call<T> call(inputs, options);
  heads::Forward<T>(call, outputs).run();
}

template class HeadsState<float>;
template class HeadsState<double>;
template void attention_forward(const HeadsInputs<float>&, const HeadsOutputs<float>&, const HeadsOptions&);
template void attention_forward(const HeadsInputs<double>&, const HeadsOutputs<double>&, const HeadsOptions&);

}  // namespace softstep
