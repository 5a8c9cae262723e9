#pragma once

// The two layouts of the work between the projected queries V and the gradient rows g: sample by sample, or with the
// sample index last. Everything that depends on which it is, is here.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/objective/layer.h"
#include "core/objective/transpose.h"
#include "core/threads/team.h"

namespace softstep {

template <class T>
class Pass {
 public:
  Pass(Layer<T>& layer, bool lanes) : layer_(layer), lanes_(lanes) {
    const std::size_t n = layer.batch.n_samples, d = layer.batch.dim;
    if (!lanes) return;
    layer.pack_lanes();
    queries_.assign(d * layer.n_lanes(), T(0));
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j)
        queries_[j * layer.n_lanes() + i] = layer.queries[i * layer.stride + j];
  }

  Layer<T>& layer() const { return layer_; }
  /// Entries of V and of g; what is beyond the samples and dimensions is 0.
  std::size_t size() const {
    return lanes_ ? layer_.batch.dim * layer_.n_lanes() : layer_.batch.n_samples * layer_.stride;
  }
  /// For V or g: zeros, each row first written by the thread that works on it.
  LargeArray<T> zero_rows() const {
    return zeros<T>(n_rows(), layer_.n_threads, [this](std::size_t i) { return i * n_cols(); });
  }
  std::size_t n_rows() const { return lanes_ ? layer_.batch.dim : layer_.batch.n_samples; }
  std::size_t n_cols() const { return lanes_ ? layer_.n_lanes() : layer_.stride; }
  /// Whether project() and outer_product() have W transposed: each in the layout that needs no sums over lanes.
  bool transposed() const { return !lanes_; }
  /// W in that layout, or back from it: a transposition is its own inverse.
  template <class Number>
  std::vector<Number> laid_out(const std::vector<Number>& w) const {
    if (!transposed() || w.empty()) return w;
    return transposed(w, layer_.batch.dim, layer_.batch.dim);
  }
  /// The transpose of W with rows of stride `from`, in rows of stride `to`.
  template <class Number>
  std::vector<Number> transposed(const std::vector<Number>& w, std::size_t from, std::size_t to) const {
    const std::size_t d = layer_.batch.dim;
    std::vector<Number> out(d * to, Number(0));
    transpose_rows(0, d, d, w.data(), from, out.data(), to);
    return out;
  }

  // Functions of a team are called by all its threads. They end when this thread may go on with what follows in a step: after
  // outer_product() with the rows that for_each_block() gives it.
  void attend(const Team& team, const T* v, T* g) const {
    lanes_ ? layer_.attend_lanes(team, v, g) : layer_.attend(team, v, g);
  }
  void scale(const Team& team, T* g) const {
    lanes_ ? layer_.scale_lanes(team, g) : layer_.scale_rows(team, g);
  }

  /// V = Z W^T, W with rows of stride ldw.
  void project(const Team& team, const T* w, std::size_t ldw, T* v) const {
    const std::size_t n = layer_.batch.n_samples, d = layer_.batch.dim, cols = n_cols();
    // Where there are more samples than dimensions each thread projects those that it will attend to.
    if (n < d) {
      if (lanes_)
        multiply(team, d, cols, d, w, ldw, queries_.data(), cols, v, cols);
      else
        multiply(team, n, d, d, layer_.queries.data(), cols, w, ldw, v, cols);
      team.wait();
    } else if (lanes_) {
      const auto [begin, end] = layer_.share_of_lanes(team);
      multiply(d, end - begin, d, w, ldw, queries_.data() + begin, cols, v + begin, cols);
    } else {
      const auto [begin, end] = layer_.share_of_samples(team);
      multiply(end - begin, d, d, layer_.queries.data() + begin * cols, cols, w, ldw, v + begin * cols, cols);
    }
  }
  /// sum_i g_i z_i^T, dim x dim
  void outer_product(const Team& team, const T* g, T* out) const {
    const std::size_t n = layer_.batch.n_samples, d = layer_.batch.dim;
    if (lanes_)
      multiply(team, d, d, n, g, n_cols(), layer_.queries.data(), layer_.stride, out, d);
    else
      outer_product_by_samples(team, g, out, d, false, T(1));
  }
  void outer_product(const T* g, T* out) const {
    with_team(layer_.threads_for_products(1.0, layer_.batch.dim),
              [&](const Team& team) { outer_product(team, g, out); });
  }
  /// w += scale sum_i g_i z_i^T, w with rows of stride ldw; sample by sample only.
  void add_outer_product(const Team& team, T scale, const T* g, T* w, std::size_t ldw) const {
    outer_product_by_samples(team, g, w, ldw, true, scale);
  }
  /// Z Z^T in the layout that mix() takes.
  std::vector<T> query_gram() const {
    const std::size_t n = layer_.batch.n_samples, cols = lanes_ ? layer_.n_lanes() : n;
    std::vector<T> gram(n * cols, T(0));
    const T* z = layer_.queries.data();
    for_each_block(n, n, layer_.threads_for_products(1.0, n), [&](Block block) {
      layer_.kernels.product_nt({block.n_rows, block.n_cols, layer_.batch.dim, z + block.row * layer_.stride,
                                 layer_.stride, z + block.col * layer_.stride, layer_.stride,
                                 gram.data() + block.row * cols + block.col, cols});
    });
    return gram;
  }
  /// u_i = sum_j <z_i, z_j> g_j: what V changes by if W does by sum_j g_j z_j^T.
  void mix(const Team& team, const T* gram, const T* g, T* u) const {
    const std::size_t n = layer_.batch.n_samples, d = layer_.batch.dim, cols = n_cols();
    if (lanes_)
      multiply(team, d, cols, n, g, cols, gram, cols, u, cols);
    else
      multiply(team, n, d, n, gram, n, g, cols, u, cols);
  }

 private:
  void outer_product_by_samples(const Team& team, const T* g, T* out, std::size_t ldout, bool add,
                                T scale) const {
    const std::size_t n = layer_.batch.n_samples, d = layer_.batch.dim;
    for_each_block(d, d, team, [&](Block block) {
      layer_.kernels.product_tn({block.n_rows, block.n_cols, n, layer_.queries.data() + block.row,
                                 layer_.stride, g + block.col, layer_.stride,
                                 out + block.row * ldout + block.col, ldout, add, scale});
    });
  }
  // c[m x n] = a[m x k] b[k x n]
  void multiply(std::size_t m, std::size_t n, std::size_t k, const T* a, std::size_t lda, const T* b,
                std::size_t ldb, T* c, std::size_t ldc) const {
    if (m != 0 && n != 0) layer_.kernels.product_nn({m, n, k, a, lda, b, ldb, c, ldc});
  }
  void multiply(const Team& team, std::size_t m, std::size_t n, std::size_t k, const T* a, std::size_t lda,
                const T* b, std::size_t ldb, T* c, std::size_t ldc) const {
    for_each_block(m, n, team, [&](Block block) {
      multiply(block.n_rows, block.n_cols, k, a + block.row * lda, lda, b + block.col, ldb,
               c + block.row * ldc + block.col, ldc);
    });
  }

  Layer<T>& layer_;
  bool lanes_;
  std::vector<T> queries_;  // Z^T, with lanes only
};

}  // namespace softstep
