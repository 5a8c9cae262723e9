#pragma once

// What stands for the key-query matrix: how its blocks project the queries, V = Z W^T, and what reaches them
// of dL/dV.
// A row of Z, V and dV for each query of each sample.
//   combined  V = Z W^T                dW = (dV)^T Z
//   factored  A = Z Q,  V = A K^T      dK = (dV)^T A,  dQ = Z^T (dV K)
//   prompt    v_i = p                  dp = sum_i dv_i
// A block is scaled by the largest row in it, with an exponent of its own: a row that drops out of dK (its
// query orthogonal to Q) must not push the others below the range of numbers.

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/layer/passes/transpose.h"
#include "core/models/attention/attention_space.h"
#include "core/ranks/ordered_product.h"

namespace softstep {

template <class T>
class KeyQueryMap {
 public:
  virtual ~KeyQueryMap() = default;
  virtual std::vector<BlockShape> blocks() const = 0;
  virtual std::size_t n_blocks() const { return 1; }
  /// Multiply-adds of project() for one row; backward() takes as many.
  virtual double work() const = 0;
  // Called by all threads of a team, after AttentionSpace::choose; they end when all are done.
  /// V from the blocks.
  virtual void project(const Team& team, AttentionSpace<T>& space, Point<T> at) = 0;
  /// Mantissas and exponents of the blocks' gradients from the rows g, which it scales. An exponent of
  /// -infinity or NaN comes without a mantissa. `out` has room in `mantissas`.
  virtual void backward(const Team& team, AttentionSpace<T>& space, Point<T> at, BlockGradient<T>* out,
                        const std::span<T>* mantissas) = 0;
  /// Fills in norms (and what a gradient without rows is), by one thread.
  virtual void finish(const AttentionSpace<T>& space, BlockGradient<T>* out, const std::span<T>* mantissas) {
    for (std::size_t k = 0; k < n_blocks(); ++k)
      if (has_rows(out[k].exponent))
        set_norm(space.data.kernels, mantissas[k], out[k]);
      else
        fill_without_rows(out[k], mantissas[k]);
  }
  /// W (prompt: p) in double.
  virtual std::vector<double> matrix(Point<double> at) const = 0;
};

template <class T>
class CombinedMap final : public KeyQueryMap<T> {
 public:
  explicit CombinedMap(std::size_t dim) : d_(dim), squares_(dim) {}
  std::vector<BlockShape> blocks() const override { return {{"weights", d_, d_}}; }
  double work() const override { return static_cast<double>(d_) * static_cast<double>(d_); }

  void project(const Team& team, AttentionSpace<T>& space, Point<T> at) override {
    const std::size_t stride = space.data.stride, n = space.n_rows();
    const T *z = space.queries(), *weights = at[0].data();
    const bool transposed = transposes(space.n_rows_of_all());
    if (transposed) {
      if (team.leads()) transposed_.resize(d_ * stride);
      team.wait();
      const auto [begin, end] = team.share(d_, band_unit);
      transpose_rows(begin, end, d_, weights, d_, transposed_.data(), stride);
      team.wait();
    }
    for_each_block(n, d_, team, [&](Block block) {
      T* v = space.projected.data() + block.row * stride + block.col;
      if (block.n_rows == 0) return;  // a rank without samples in this batch
      if (transposed)
        space.data.kernels.product_nn({block.n_rows, block.n_cols, d_, z + block.row * stride, stride,
                                       transposed_.data() + block.col, stride, v, stride});
      else
        space.data.kernels.product_nt({block.n_rows, block.n_cols, d_, z + block.row * stride, stride,
                                       weights + block.col * d_, d_, v, stride});
    });
    team.wait();
  }
  void backward(const Team& team, AttentionSpace<T>& space, Point<T>, BlockGradient<T>* out,
                const std::span<T>* mantissas) override {
    RowFactors<T>* factors = nullptr;
    if (team.leads()) {
      factors_ = &space.factors_by_query();
      out->exponent = factors_->set(space.pass.outcomes(), space.pass.outcomes().largest.data());
    }
    team.wait();
    factors = factors_;
    if (!has_rows(out->exponent)) return;
    const std::size_t stride = space.data.stride;
    factors->scale_rows(team, space.rows.data(), d_, stride);
    product_(team, space.data.ranks, space.data.kernels, d_, d_, space.n_rows(), space.rows.data(), stride,
             space.queries(), stride, mantissas->data());
    squares_.add_share(team, space.data.kernels, mantissas->data());
  }
  void finish(const AttentionSpace<T>& space, BlockGradient<T>* out, const std::span<T>* mantissas) override {
    if (has_rows(out->exponent))
      set_norm(space.data.kernels, squares_.total(), *mantissas, *out);
    else
      fill_without_rows(*out, *mantissas);
  }
  std::vector<double> matrix(Point<double> at) const override { return {at[0].begin(), at[0].end()}; }

 private:
  // Rows of V enough to repay a transposition of W, from which the product takes no sums over lanes. Whole
  // evaluations with AVX-512 on one thread: 1.1 times faster at 100,20,100 in float64, 1.25 at 200,16,100 in
  // float32, slower by as much at 64,16,2048 in float64.
  static bool transposes(std::size_t n_rows) { return n_rows * sizeof(T) >= 768; }

  std::size_t d_;
  LargeArray<T> transposed_;  // W^T with row stride
  OrderedProduct<T> product_;
  SquaredNorm<T> squares_;
  RowFactors<T>* factors_ = nullptr;
};

template <class T>
class FactoredMap final : public KeyQueryMap<T> {
 public:
  FactoredMap(std::size_t dim, std::size_t rank) : d_(dim), r_(rank) {}
  std::vector<BlockShape> blocks() const override { return {{"keys", d_, r_}, {"queries", d_, r_}}; }
  std::size_t n_blocks() const override { return 2; }
  double work() const override { return 2.0 * static_cast<double>(d_) * static_cast<double>(r_); }

  void project(const Team& team, AttentionSpace<T>& space, Point<T> at) override {
    const std::size_t m = space.n_rows(), stride = space.data.stride;
    if (team.leads()) projected_.resize(m * r_);
    team.wait();
    const auto [begin, end] = space.pass_rows().share(team);
    if (begin < end) {
      space.data.kernels.product_nn({end - begin, r_, d_, space.queries() + begin * stride, stride,
                                     at[1].data(), r_, projected_.data() + begin * r_, r_});
      space.data.kernels.product_nt({end - begin, d_, r_, projected_.data() + begin * r_, r_, at[0].data(),
                                     r_, space.projected.data() + begin * stride, stride});
    }
    team.wait();
  }
  void backward(const Team& team, AttentionSpace<T>& space, Point<T> at, BlockGradient<T>* out,
                const std::span<T>* mantissas) override {
    const std::size_t m = space.n_rows(), stride = space.data.stride;
    const simd::Kernels<T>& kernels = space.data.kernels;
    if (team.leads()) {
      through_.resize(m * r_);
      largest_.assign(simd::round_up_to_lanes<double>(m), 0.0);
    }
    team.wait();
    const auto [begin, end] = space.pass_rows().share(team);
    if (begin < end)
      kernels.product_nn({end - begin, r_, d_, space.rows.data() + begin * stride, stride, at[0].data(), r_,
                          through_.data() + begin * r_, r_});
    team.wait();
    if (team.leads()) {
      set_largest(through_, m);
      factors_ = &space.factors_by(space.largest_query());
      out[1].exponent = factors_->set(space.pass.outcomes(), largest_.data());
    }
    team.wait();
    if (has_rows(out[1].exponent)) {
      factors_->scale_rows(team, through_.data(), r_, r_);
      product_(team, space.data.ranks, kernels, d_, r_, m, space.queries(), stride, through_.data(), r_,
               mantissas[1].data());
    }
    team.wait();
    if (team.leads()) {
      set_largest(projected_, m);
      factors_ = &space.factors_by(largest_.data());
      out[0].exponent = factors_->set(space.pass.outcomes(), space.pass.outcomes().largest.data());
    }
    team.wait();
    if (!has_rows(out[0].exponent)) return;
    factors_->scale_rows(team, space.rows.data(), d_, stride);
    product_(team, space.data.ranks, kernels, d_, r_, m, space.rows.data(), stride, projected_.data(), r_,
             mantissas[0].data());
    team.wait();
  }
  std::vector<double> matrix(Point<double> at) const override {
    std::vector<double> w(d_ * d_, 0.0);
    for (std::size_t i = 0; i < d_; ++i)
      for (std::size_t j = 0; j < d_; ++j)
        for (std::size_t k = 0; k < r_; ++k) w[i * d_ + j] += at[0][i * r_ + k] * at[1][j * r_ + k];
    return w;
  }

 private:
  void set_largest(const std::vector<T>& a, std::size_t m) {
    for (std::size_t row = 0; row < m; ++row)
      largest_[row] = static_cast<double>(largest_of(a.data() + row * r_, r_));
  }

  std::size_t d_, r_;
  std::vector<T> projected_, through_;  // A; dV K, then scaled
  std::vector<double> largest_;
  OrderedProduct<T> product_;
  RowFactors<T>* factors_ = nullptr;
};

template <class T>
class PromptMap final : public KeyQueryMap<T> {
 public:
  explicit PromptMap(std::size_t dim) : d_(dim) {}
  std::vector<BlockShape> blocks() const override { return {{"prompt", d_, 1}}; }
  double work() const override { return static_cast<double>(d_); }

  void project(const Team& team, AttentionSpace<T>& space, Point<T> at) override {
    const auto [begin, end] = space.pass_rows().share(team);
    for (std::size_t row = begin; row < end; ++row)
      std::copy_n(at[0].data(), d_, space.projected.data() + row * space.data.stride);
  }
  void backward(const Team& team, AttentionSpace<T>& space, Point<T>, BlockGradient<T>* out,
                const std::span<T>* mantissas) override {
    if (team.leads()) {
      ones_.assign(space.n_rows(), 1.0);
      factors_ = &space.factors_by(ones_.data());
      out->exponent = factors_->set(space.pass.outcomes(), space.pass.outcomes().largest.data());
    }
    team.wait();
    if (!has_rows(out->exponent)) return;
    factors_->scale_rows(team, space.rows.data(), d_, space.data.stride);
    if (!team.leads()) return;
    sum_.assign(d_, 0.0);
    add_over_ranks(space.data.ranks, std::span<double>(sum_), [&] {
      for (std::size_t row = 0; row < space.n_rows(); ++row)
        for (std::size_t j = 0; j < d_; ++j)
          sum_[j] += static_cast<double>(space.rows[row * space.data.stride + j]);
    });
    std::transform(sum_.begin(), sum_.end(), mantissas->begin(), [](double x) { return static_cast<T>(x); });
  }
  std::vector<double> matrix(Point<double> at) const override { return {at[0].begin(), at[0].end()}; }

 private:
  std::size_t d_;
  std::vector<double> ones_, sum_;
  RowFactors<T>* factors_ = nullptr;
};

/// `options` have been validated.
template <class T>
std::unique_ptr<KeyQueryMap<T>> make_map(const AttentionOptions& options, std::size_t dim) {
  switch (options.key_query) {
    case KeyQuery::factored:
      return std::make_unique<FactoredMap<T>>(dim, options.rank);
    case KeyQuery::prompt:
      return std::make_unique<PromptMap<T>>(dim);
    case KeyQuery::combined:
      break;
  }
  return std::make_unique<CombinedMap<T>>(dim);
}

}  // namespace softstep
