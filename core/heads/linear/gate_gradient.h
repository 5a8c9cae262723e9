#pragma once

// The gradient by the log gates of a chunk: da_t is the sum over all pairs of query and key that t stands
// between (j < t <= p(i)) of dO_i . v_j q_il k_jl w_ijl. Pairs are taken in groups that lie on the same side
// of t, so that each sum holds these pairs and no others (docs/mathematics.md, section 12.3).

#include <cstddef>

#include "core/heads/linear/chunk.h"

namespace softstep::linear_heads {

template <class T>
void add_multiplied(std::size_t n, std::size_t dim, Block<const T> in, Block<const T> decays,
                    std::size_t columns, Block<T> out) {
  for (std::size_t t = 0; t < n; ++t) {
    const T *x = in.row(t), *w = decays.row(t);
    T* y = out.row(t);
    for (std::size_t l = 0; l < dim; ++l) y[l] += x[l] * w[columns == 1 ? 0 : l];
  }
}

template <class T>
class GateGradient {
 public:
  bool wanted = false;
  Block<T> sums;  ///< [n, columns]: da_t

  static std::size_t pieces(const Problem<T>& p) {
    const std::size_t columns = p.gate_columns;
    return WorkSpace<T>::rounded(chunk_size * columns) +
           2 * WorkSpace<T>::rounded(columns == 0 ? 0 : p.geometry.dim) +
           (columns == 1 ? WorkSpace<T>::rounded(chunk_size * chunk_size) : 0);
  }
  GateGradient(const Problem<T>& p, WorkSpace<T>& memory) : columns_(p.gate_columns), dim_(p.geometry.dim) {
    if (columns_ == 0) return;
    sums = {memory.take(chunk_size * columns_), columns_};
    running_ = memory.take(dim_);
    through_ = memory.take(dim_);
    if (columns_ == 1) pairs_ = {memory.take(chunk_size * chunk_size), chunk_size};
  }

  void begin(std::size_t n, bool is_wanted) {
    wanted = is_wanted && columns_ != 0;
    n_ = n;
    if (!wanted) return;
    std::fill_n(sums.data, n * columns_, T(0));
    if (columns_ == 1) std::fill_n(pairs_.data, chunk_size * n, T(0));
  }

  /// Queries after the chunk, keys before it: decay_l sum_c S_lc D_lc for every t of the chunk.
  void add_through(const T* turned_state, const T* turned_later, std::size_t value_dim, const T* decay) {
    std::fill_n(through_, dim_, T(0));
    for (std::size_t c = 0; c < value_dim; ++c)
      for (std::size_t l = 0; l < dim_; ++l)
        through_[l] += turned_state[c * dim_ + l] * turned_later[c * dim_ + l];
    if (columns_ == 1) {
      T sum(0);
      for (std::size_t l = 0; l < dim_; ++l) sum += through_[l];
      for (std::size_t t = 0; t < n_; ++t) *sums.row(t) += sum * decay[0];
    } else {
      for (std::size_t l = 0; l < dim_; ++l) through_[l] *= decay[l];
      for (std::size_t t = 0; t < n_; ++t)
        for (std::size_t l = 0; l < dim_; ++l) sums.row(t)[l] += through_[l];
    }
  }
  /// Queries from position `offset` on, keys before the chunk: `queries` with their decays, times `gradient`
  /// without.
  void add_chunk_queries(std::size_t offset, Block<const T> queries, Block<const T> gradient) {
    if (wanted) add_suffixes(offset, n_, 0, queries, gradient);
  }
  /// Keys of the chunk, queries after it.
  void add_chunk_keys(Block<const T> keys, Block<const T> gradient) {
    if (wanted) add_prefixes(0, n_, keys, gradient);
  }
  /// Queries at first .. high - 1, keys before `middle`, for the gates from there on: vector gates.
  void add_queries(std::size_t first, std::size_t high, std::size_t middle, Block<const T> queries,
                   Block<const T> gradient) {
    if (wanted) add_suffixes(first, high, middle, queries, gradient);
  }
  /// Keys at low .. middle - 1, queries from `middle` on, for the gates before that.
  void add_keys(std::size_t low, std::size_t middle, Block<const T> keys, Block<const T> gradient) {
    if (wanted) add_prefixes(low, middle, keys, gradient);
  }
  void add_at(std::size_t t, const T* a, const T* b) {
    if (!wanted) return;
    T* row = sums.row(t);
    for (std::size_t l = 0; l < dim_; ++l) row[l] += a[l] * b[l];
  }
  /// Scalar gates: pairs within the chunk, from scores with decay and slopes without.
  void add_pairs(const Triangle& in, Block<const T> scores, Block<const T> slopes) {
    if (!wanted) return;
    for (std::size_t r = 0; r < in.rows(); ++r) {
      const T *score = scores.row(r), *slope = slopes.row(r);
      T* row = pairs_.row(in.offset + r);
      for (std::size_t j = 0; j < in.offset + r; ++j) row[j] += score[j] * slope[j];
    }
  }
  /// Scalar gates: row t of the pairs becomes their sums over rows from t on, of which those at j < t count.
  void finish() {
    if (columns_ != 1) return;
    for (std::size_t t = n_; t-- > 0;) {
      T* row = pairs_.row(t);
      if (t + 1 < n_) {
        const T* below = pairs_.row(t + 1);
        for (std::size_t j = 0; j < t; ++j) row[j] += below[j];
      }
      T sum(0);
      for (std::size_t j = 0; j < t; ++j) sum += row[j];
      *sums.row(t) += sum;
    }
  }

 private:
  // da_t += sum_{s >= t} a_s * b_s for t = end .. high - 1, over rows s = first .. high - 1.
  void add_suffixes(std::size_t first, std::size_t high, std::size_t end, Block<const T> a,
                    Block<const T> b) {
    std::fill_n(running_, dim_, T(0));
    T scalar(0);
    for (std::size_t t = high; t-- > end;) {
      if (t >= first) {
        const T *x = a.row(t - first), *y = b.row(t - first);
        if (columns_ == 1)
          scalar += dot(dim_, x, y);
        else
          for (std::size_t l = 0; l < dim_; ++l) running_[l] += x[l] * y[l];
      }
      add_running(t, scalar);
    }
  }
  // da_t += sum_{s < t} a_s * b_s for t = low + 1 .. end - 1, over rows s from low on.
  void add_prefixes(std::size_t low, std::size_t end, Block<const T> a, Block<const T> b) {
    std::fill_n(running_, dim_, T(0));
    T scalar(0);
    for (std::size_t t = low; t + 1 < end; ++t) {
      const T *x = a.row(t - low), *y = b.row(t - low);
      if (columns_ == 1)
        scalar += dot(dim_, x, y);
      else
        for (std::size_t l = 0; l < dim_; ++l) running_[l] += x[l] * y[l];
      add_running(t + 1, scalar);
    }
  }
  void add_running(std::size_t t, T scalar) {
    T* row = sums.row(t);
    if (columns_ == 1)
      *row += scalar;
    else
      for (std::size_t l = 0; l < dim_; ++l) row[l] += running_[l];
  }

  std::size_t columns_, dim_, n_ = 0;
  T *running_ = nullptr, *through_ = nullptr;
  Block<T> pairs_;
};

}  // namespace softstep::linear_heads
