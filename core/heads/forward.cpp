// The forward pass (docs/mathematics.md, section 11.1): which thread does what, and what rows give in the
// end.

#include <atomic>
#include <cmath>

#include "core/heads/forward_few.h"
#include "core/heads/forward_tiles.h"
#include "core/heads/state.h"
#include "core/heads/store_rows.h"
#include "core/threads/team.h"

namespace softstep {
namespace heads {
namespace {

template <class T>
class Forward {
 public:
  Forward(const Call<T>& call, const HeadsOutputs<T>& outputs)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(block_size<T>(std::max(g_.dim, g_.value_dim), kernels_.tile_columns, false)),
        out_(g_.output(outputs.outputs, Axis::queries, g_.value_dim, "outputs")),
        log_sum_exp_(outputs.log_sum_exp),
        state_(outputs.state) {
    if (!log_sum_exp_.empty() && log_sum_exp_.size() != g_.total_rows())
      throw InvalidArgument("log_sum_exp", std::to_string(log_sum_exp_.size()) + " numbers (need " +
                                               std::to_string(g_.total_rows()) + ")");
    const Extent output = extent_of(g_, out_, Axis::queries, g_.value_dim, "outputs"),
                 sums = flat_extent(log_sum_exp_, "log_sum_exp");
    call.require_apart_from_inputs(output);
    call.require_apart_from_inputs(sums);
    require_apart(sums, output);
    if (state_) state_->impl().resize(g_.total_rows(), g_.value_dim);
    for (std::size_t b = 0; b < g_.batch; ++b)
      for (std::size_t k = 0; k < g_.n_key_heads; ++k) lay_out(b, k);
    partial_.resize(n_partial_rows_, g_.value_dim);
    const auto wanted = std::min<std::size_t>(static_cast<std::size_t>(call.n_threads), items_.size());
    for (std::size_t k = 0; k < std::max<std::size_t>(1, wanted); ++k)
      spaces_.emplace_back(g_, size_, kernels_.tile_columns);
  }

  void run() {
    std::atomic<std::size_t> next{0}, next_in_chunks{0};
    with_team(static_cast<int>(spaces_.size()), [&](const Team& team) {
      ForwardSpace<T>& space = spaces_[team.rank];
      // The last rows see the most keys under a causal mask: first.
      for (std::size_t k = next++; k < items_.size(); k = next++)
        attend(items_[items_.size() - 1 - k], space);
      if (in_chunks_.empty()) return;
      team.wait();
      for (std::size_t k = next_in_chunks++; k < in_chunks_.size(); k = next_in_chunks++)
        put_together(in_chunks_[k], space);
    });
    if (state_) state_->impl().finished(g_.total_rows(), g_.value_dim);
  }

 private:
  // A block of rows with all its keys, or a chunk of the keys of few rows, whose results begin at a partial
  // row.
  struct Item {
    RowBlock block;
    std::size_t chunk, partial_row;
  };
  struct InChunks {
    RowBlock block;
    std::size_t n_chunks, partial_row;
  };
  static constexpr std::size_t no_row = static_cast<std::size_t>(-1);

  // Whole lots, as even as can be, and enough blocks for all threads. Rows have the same bits in blocks of
  // any size.
  std::size_t rows_of_block(std::size_t n) const {
    const auto parts = [](std::size_t whole, std::size_t part) { return (whole + part - 1) / part; };
    const std::size_t groups = g_.batch * g_.n_key_heads, threads = static_cast<std::size_t>(call_.n_threads);
    const std::size_t wanted = threads == 1 ? 1 : parts(4 * threads, groups);
    const std::size_t blocks = std::max(parts(n, size_.rows), std::min(wanted, parts(n, 4 * size_.lot)));
    return parts(parts(n, blocks), size_.lot) * size_.lot;
  }

  void lay_out(std::size_t b, std::size_t key_head) {
    const std::size_t n = g_.group * g_.queries_of(b);
    if (n > few_rows) {
      const std::size_t rows = rows_of_block(n);
      for (std::size_t first = 0; first < n; first += rows)
        items_.push_back({{b, key_head, first, std::min(rows, n - first)}, 0, no_row});
    } else if (n != 0) {
      const RowBlock block{b, key_head, 0, n};
      const std::size_t n_chunks = std::max<std::size_t>(1, (g_.keys_of(b) + chunk_keys - 1) / chunk_keys);
      in_chunks_.push_back({block, n_chunks, n_partial_rows_});
      for (std::size_t chunk = 0; chunk < n_chunks; ++chunk, n_partial_rows_ += n)
        items_.push_back({block, chunk, n_partial_rows_});
    }
  }

  void attend(const Item& item, ForwardSpace<T>& space) {
    if (item.partial_row != no_row)
      return attend_few(call_, item.block, item.chunk, partial_.rows().from(item.partial_row, g_.value_dim),
                        space);
    const RowsAt<T> rows = rows_of(item.block, space);
    attend_in_tiles(call_, size_, item.block, rows, space);
    conclude(item.block, rows, space);
  }

  void put_together(const InChunks& of, ForwardSpace<T>& space) {
    const std::size_t n = of.block.n_rows, dv = g_.value_dim;
    const RowsAt<T> rows = rows_of(of.block, space);
    rows.clear(n, dv);
    for (std::size_t chunk = 0; chunk < of.n_chunks; ++chunk)
      for (std::size_t r = 0; r < n; ++r)
        take_in(kernels_, rows, partial_.rows().from(of.partial_row + chunk * n, dv), r, dv,
                [&](std::size_t key) { return value_row(call_, of.block, key, space.value); });
    conclude(of.block, rows, space);
  }

  RowsAt<T> rows_of(const RowBlock& block, ForwardSpace<T>& space) {
    if (!state_) return space.own;
    return state_->impl().rows().from(g_.first_row(block.b, block.key_head) + block.first, g_.value_dim);
  }

  // o = p_a v_a + (p_a e^c) R
  void conclude(const RowBlock& block, const RowsAt<T>& rows, ForwardSpace<T>& space) {
    const std::size_t dv = g_.value_dim, m = g_.queries_of(block.b);
    for (std::size_t r = 0; r < block.n_rows; ++r) {
      const std::size_t row = block.first + r, h = block.key_head * g_.group + row / m, i = row % m;
      const std::ptrdiff_t place = out_.place(block.b, h, g_.first_query(block.b), i);
      T* out = out_.in_halves() ? space.result : out_.numbers + place;
      // A row that sees nothing has sums of 0, one with a single key too; NaN stays.
      const bool sees = rows.pivot[r] != simd::no_pivot;
      const T power = weight_below(rows.second[r], rows.top[r]), rest = power * rows.rest[r];
      const T pivot_attention = sees ? T(1) / (T(1) + rest) : T(0);
      std::copy_n(rows.rest_values + r * dv, dv, out);
      kernels_.scale_row(dv, pivot_attention * power, T(1), out);
      if (sees) kernels_.axpy(dv, pivot_attention, value_row(call_, block, rows.pivot[r], space.value), out);
      if (!(rows.rest[r] == rows.rest[r])) std::fill_n(out, dv, rows.rest[r]);
      if (out_.in_halves()) store_row(out, dv, out_, place);
      if (!log_sum_exp_.empty())
        log_sum_exp_[g_.row_place(block.b, h, i)] = rows.top[r] + (sees ? std::log1p(rest) : rows.rest[r]);
    }
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const OutputRows<T> out_;
  const std::span<T> log_sum_exp_;
  HeadsState<T>* const state_;
  std::vector<Item> items_;
  std::vector<InChunks> in_chunks_;
  std::size_t n_partial_rows_ = 0;
  typename HeadsState<T>::Impl partial_;
  std::vector<ForwardSpace<T>> spaces_;
};

}  // namespace
}  // namespace heads

template <NumberType T>
HeadsState<T>::HeadsState() : impl_(std::make_unique<Impl>()) {}
template <NumberType T>
auto HeadsState<T>::impl() -> Impl& {
  if (impl_ == nullptr) impl_ = std::make_unique<Impl>();
  return *impl_;
}
template <NumberType T>
auto HeadsState<T>::impl() const -> const Impl& {
  if (impl_ == nullptr) throw InvalidArgument("state", "moved from (run attention_forward with it first)");
  return *impl_;
}
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
