#pragma once

// The two layouts of the work between the projected queries V and the gradient rows g, one of each for every
// query of every sample: sample by sample, or with the sample index last. Everything that depends on which it
// is, is here.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#include "core/layer/passes/lane_pass.h"
#include "core/layer/passes/sample_pass.h"
#include "core/layer/passes/transpose.h"
#include "core/layer/row_factors.h"
#include "core/layer/sharing.h"
#include "core/ranks/ordered_product.h"
#include "core/trainer/forms/query_units.h"

namespace softstep {

template <class T>
class Pass {
 public:
  Pass(const AttentionData<T>& data, bool lanes)
      : data_(data),
        lanes_(lanes ? &data.lanes() : nullptr),
        pass_rows_(data.query_rows),
        projected_(zero_rows()),
        rows_(zero_rows()) {
    if (lanes)
      attention_ = std::make_unique<LanePass<T>>(data, projected_.data(), rows_.data());
    else
      attention_ =
          std::make_unique<SamplePass<T>>(data, *data.given_scoring(), projected_.data(), rows_.data());
  }

  const AttentionData<T>& data() const { return data_; }
  /// V and g; what is beyond the queries and dimensions is 0.
  T* projected() { return projected_.data(); }
  T* rows() { return rows_.data(); }
  /// Entries of each.
  std::size_t size() const { return n_rows() * n_cols(); }
  std::size_t n_rows() const { return lanes_ ? data_.batch.dim : data_.n_rows(); }
  std::size_t n_cols() const { return lanes_ ? lanes_->n_lanes : data_.stride; }
  /// Whether project() and outer_product() have W transposed: each in the layout that needs no sums over
  /// lanes.
  bool transposed() const { return lanes_ == nullptr; }
  /// W in that layout, or back from it: a transposition is its own inverse.
  template <class Number>
  std::vector<Number> laid_out(const std::vector<Number>& w) const {
    if (!transposed() || w.empty()) return w;
    return transposed(w, data_.batch.dim, data_.batch.dim);
  }
  /// The transpose of W with rows of stride `from`, in rows of stride `to`.
  template <class Number>
  std::vector<Number> transposed(const std::vector<Number>& w, std::size_t from, std::size_t to) const {
    const std::size_t d = data_.batch.dim;
    std::vector<Number> out(d * to, Number(0));
    transpose_rows(0, d, d, w.data(), from, out.data(), to);
    return out;
  }

  // Functions of a team are called by all its threads. They end when this thread may go on with what follows
  // in a step: after outer_product() with the rows that for_each_block() gives it.

  /// From V to g without l', and to what is said of the samples.
  void attend(const Team& team, bool with_rows) { attention_->attend(team, pass_rows_, with_rows); }
  const AttentionPass<T>& attention() const { return *attention_; }
  void scale(const Team& team, const RowFactors<T>& factors) {
    if (lanes_)
      factors.scale_lanes(team, rows_.data(), n_cols());
    else
      factors.scale_rows(team, rows_.data(), data_.batch.dim, n_cols());
  }

  /// V = Z W^T, W with rows of stride ldw, into v: projected() or something like it.
  void project(const Team& team, const T* w, std::size_t ldw, T* v) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim, cols = n_cols();
    // Where there are more queries than dimensions each thread projects those that it will attend to.
    if (n < d) {
      if (lanes_)
        multiply(team, d, cols, d, w, ldw, lanes_->queries.data(), cols, v, cols);
      else
        multiply(team, n, d, d, data_.queries.data(), cols, w, ldw, v, cols);
      team.wait();
    } else if (lanes_) {
      const auto [begin, end] = share_of_lanes<T>(team, cols);
      multiply(d, end - begin, d, w, ldw, lanes_->queries.data() + begin, cols, v + begin, cols);
    } else {
      const auto [begin, end] = pass_rows_.share(team);
      multiply(end - begin, d, d, data_.queries.data() + begin * cols, cols, w, ldw, v + begin * cols, cols);
    }
  }
  /// sum_i g_i z_i^T, dim x dim, of the batch's queries or others laid out like them
  void outer_product(const Team& team, const T* g, T* out) const {
    outer_product(team, g, data_.queries.data(), out);
  }
  void outer_product(const Team& team, const T* g, const T* z, T* out) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim;
    if (lanes_)
      multiply(team, d, d, n, g, n_cols(), z, data_.stride, out, d);
    else
      outer_product_by_samples(team, g, z, out, d, false, T(1));
  }
  void outer_product(const T* g, const T* z, T* out) const {
    with_team(data_.threads_for_products(1.0, data_.batch.dim),
              [&](const Team& team) { outer_product(team, g, z, out); });
  }
  /// The same over the samples of all ranks, by teams that keep `product`.
  void outer_product(const Team& team, OrderedProduct<T>& product, const T* g, T* out) const {
    if (lanes_) return outer_product(team, g, out);
    product(team, data_.ranks, data_.kernels, data_.batch.dim, data_.batch.dim, data_.n_rows(),
            data_.queries.data(), data_.stride, g, data_.stride, out);
  }
  /// w += scale sum_i g_i z_i^T, w with rows of stride ldw; sample by sample only.
  void add_outer_product(const Team& team, T scale, const T* g, const T* z, T* w, std::size_t ldw) const {
    outer_product_by_samples(team, g, z, w, ldw, true, scale);
  }
  /// Z Z^T in the layout that mix() takes.
  std::vector<T> query_gram(const T* z) const {
    const std::size_t n = data_.n_rows(), cols = lanes_ ? lanes_->n_lanes : n;
    std::vector<T> gram(n * cols, T(0));
    for_each_block(n, n, data_.threads_for_products(1.0, n), [&](Block block) {
      data_.kernels.product_nt({block.n_rows, block.n_cols, data_.batch.dim, z + block.row * data_.stride,
                                data_.stride, z + block.col * data_.stride, data_.stride,
                                gram.data() + block.row * cols + block.col, cols});
    });
    return gram;
  }
  /// u_i = sum_j <z_i, z_j> g_j: what V changes by if W does by sum_j g_j z_j^T.
  void mix(const Team& team, const T* gram, const T* g, T* u) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim, cols = n_cols();
    if (lanes_)
      multiply(team, d, cols, n, g, cols, gram, cols, u, cols);
    else
      multiply(team, n, d, n, gram, n, g, cols, u, cols);
  }

  /// v_i += a 2^b_i u_i for the powers b_i of the units.
  void add_in_units(const Team& team, double a, const QueryUnits<T>& units, const T* u, T* v) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim, cols = n_cols();
    if (units.is_uniform()) {
      const auto [begin, end] = team.share(size(), band_unit);
      const T factor = in_units<T>(a, n == 0 ? 0 : units.power(0));
      data_.kernels.axpy(end - begin, factor, u + begin, v + begin);
      return;
    }
    const auto [begin, end] = team.share(n, band_unit);
    for (std::size_t i = begin; i < end; ++i) {
      const T factor = in_units<T>(a, units.power(i));
      if (!lanes_)
        data_.kernels.axpy(d, factor, u + i * cols, v + i * cols);
      else
        for (std::size_t at = i; at < d * cols; at += cols)
          data_.kernels.axpy(1, factor, u + at, v + at);  // rounded as everywhere
    }
  }

 private:
  // Zeros, each row first written by the thread that works on it.
  LargeArray<T> zero_rows() const {
    return zeros<T>(n_rows(), data_.n_threads, [this](std::size_t i) { return i * n_cols(); });
  }
  void outer_product_by_samples(const Team& team, const T* g, const T* z, T* out, std::size_t ldout, bool add,
                                T scale) const {
    const std::size_t n = data_.n_rows(), d = data_.batch.dim;
    for_each_block(d, d, team, [&](Block block) {
      data_.kernels.product_tn({block.n_rows, block.n_cols, n, z + block.row, data_.stride, g + block.col,
                                data_.stride, out + block.row * ldout + block.col, ldout, add, scale});
    });
  }
  // c[m x n] = a[m x k] b[k x n]
  void multiply(std::size_t m, std::size_t n, std::size_t k, const T* a, std::size_t lda, const T* b,
                std::size_t ldb, T* c, std::size_t ldc) const {
    if (m != 0 && n != 0) data_.kernels.product_nn({m, n, k, a, lda, b, ldb, c, ldc});
  }
  void multiply(const Team& team, std::size_t m, std::size_t n, std::size_t k, const T* a, std::size_t lda,
                const T* b, std::size_t ldb, T* c, std::size_t ldc) const {
    for_each_block(m, n, team, [&](Block block) {
      multiply(block.n_rows, block.n_cols, k, a + block.row * lda, lda, b + block.col, ldb,
               c + block.row * ldc + block.col, ldc);
    });
  }

  const AttentionData<T>& data_;
  const LaneBatch<T>* lanes_;  // null: sample by sample
  const PassRows pass_rows_;
  LargeArray<T> projected_, rows_;
  std::unique_ptr<AttentionPass<T>> attention_;
};

}  // namespace softstep
