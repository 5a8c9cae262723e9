#pragma once

// What stands for the key-query matrix: how its blocks project the queries, V = Z W^T, and what reaches them of dL/dV.
//   combined  V = Z W^T                dW = (dV)^T Z
//   factored  A = Z Q,  V = A K^T      dK = (dV)^T A,  dQ = Z^T (dV K)
//   prompt    v_i = p                  dp = sum_i dv_i
// A block is scaled by the largest sample in it, with an exponent of its own: a sample that drops out of dK (its query
// orthogonal to Q) must not push the others below the range of numbers.

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "core/models/attention_rows.h"
#include "core/objective/mantissa.h"

namespace softstep {

template <class T>
class KeyQueryMap {
 public:
  virtual ~KeyQueryMap() = default;
  virtual std::vector<BlockShape> blocks() const = 0;
  /// Z: m rows of `rows.stride`; V likewise.
  virtual void project(const AttentionRows<T>& rows, const T* z, const T* const* at, T* v) = 0;
  /// The largest entry of what a sample's row is multiplied by.
  virtual double largest_factor(const T* z, std::size_t dim) const { return largest_entry(z, dim); }
  /// Values and exponents of the blocks' gradients from the rows, which it scales, after project(). `factors`: largest_factor of
  /// each row. An exponent of -infinity or NaN (AttentionRows::scale_rows) comes without values.
  virtual void backward(AttentionRows<T>& rows, const T* z, const double* factors, const T* const* at,
                        BlockGradient<T>* out) = 0;
  /// The largest entry of m numbers in absolute value, NaN if there is one.
  static double largest_entry(const T* a, std::size_t m) { return static_cast<double>(largest_of(a, m)); }
  static bool is_number(double exponent) { return exponent > -std::numeric_limits<double>::infinity(); }
  /// W (prompt: p) in double.
  virtual std::vector<double> matrix(const double* const* at) const = 0;
};

template <class T>
class CombinedMap final : public KeyQueryMap<T> {
 public:
  explicit CombinedMap(std::size_t dim) : d_(dim) {}
  std::vector<BlockShape> blocks() const override { return {{"weights", d_, d_}}; }

  void project(const AttentionRows<T>& rows, const T* z, const T* const* at, T* v) override {
    const std::size_t stride = rows.stride;
    for_each_block(rows.n_chosen(), d_, rows.threads_for(work(rows)), [&](Block block) {
      rows.kernels.product_nt({block.n_rows, block.n_cols, d_, z + block.row * stride, stride,
                               at[0] + block.col * d_, d_, v + block.row * stride + block.col, stride});
    });
  }
  void backward(AttentionRows<T>& rows, const T* z, const double* factors, const T* const*,
                BlockGradient<T>* out) override {
    out->exponent = rows.scale_rows(factors);
    if (!this->is_number(out->exponent)) return;
    out->values.resize(d_ * d_);
    for_each_block(d_, d_, rows.threads_for(work(rows)), [&](Block block) {
      rows.kernels.product_tn({block.n_rows, block.n_cols, rows.n_chosen(), rows.rows() + block.row,
                               rows.stride, z + block.col, rows.stride,
                               out->values.data() + block.row * d_ + block.col, d_});
    });
  }
  std::vector<double> matrix(const double* const* at) const override { return {at[0], at[0] + d_ * d_}; }

 private:
  double work(const AttentionRows<T>& rows) const {
    return static_cast<double>(rows.n_chosen()) * static_cast<double>(d_) * static_cast<double>(d_);
  }
  std::size_t d_;
};

template <class T>
class FactoredMap final : public KeyQueryMap<T> {
 public:
  FactoredMap(std::size_t dim, std::size_t rank) : d_(dim), r_(rank) {}
  std::vector<BlockShape> blocks() const override { return {{"keys", d_, r_}, {"queries", d_, r_}}; }

  void project(const AttentionRows<T>& rows, const T* z, const T* const* at, T* v) override {
    const std::size_t m = rows.n_chosen(), stride = rows.stride;
    projected_.resize(m * r_);
    rows.kernels.product_nn({m, r_, d_, z, stride, at[1], r_, projected_.data(), r_});
    rows.kernels.product_nt({m, d_, r_, projected_.data(), r_, at[0], r_, v, stride});
  }
  void backward(AttentionRows<T>& rows, const T* z, const double* factors, const T* const* at,
                BlockGradient<T>* out) override {
    const std::size_t m = rows.n_chosen(), stride = rows.stride;
    through_.resize(m * r_);
    largest_.resize(m);
    const auto largest_of_rows = [&](const std::vector<T>& a) {
      for (std::size_t row = 0; row < m; ++row) largest_[row] = this->largest_entry(a.data() + row * r_, r_);
      return largest_.data();
    };
    rows.kernels.product_nn({m, r_, d_, rows.rows(), stride, at[0], r_, through_.data(), r_});
    out[1].exponent = rows.scale(through_.data(), r_, r_, largest_of_rows(through_), factors);
    if (this->is_number(out[1].exponent)) {
      out[1].values.resize(d_ * r_);
      rows.kernels.product_tn({d_, r_, m, z, stride, through_.data(), r_, out[1].values.data(), r_});
    }
    out[0].exponent = rows.scale_rows(largest_of_rows(projected_));
    if (this->is_number(out[0].exponent)) {
      out[0].values.resize(d_ * r_);
      rows.kernels.product_tn(
          {d_, r_, m, rows.rows(), stride, projected_.data(), r_, out[0].values.data(), r_});
    }
  }
  std::vector<double> matrix(const double* const* at) const override {
    std::vector<double> w(d_ * d_, 0.0);
    for (std::size_t i = 0; i < d_; ++i)
      for (std::size_t j = 0; j < d_; ++j)
        for (std::size_t k = 0; k < r_; ++k) w[i * d_ + j] += at[0][i * r_ + k] * at[1][j * r_ + k];
    return w;
  }

 private:
  std::size_t d_, r_;
  std::vector<T> projected_, through_;
  std::vector<double> largest_;
};

template <class T>
class PromptMap final : public KeyQueryMap<T> {
 public:
  explicit PromptMap(std::size_t dim) : d_(dim) {}
  std::vector<BlockShape> blocks() const override { return {{"prompt", d_, 1}}; }

  void project(const AttentionRows<T>& rows, const T*, const T* const* at, T* v) override {
    for (std::size_t row = 0; row < rows.n_chosen(); ++row) std::copy_n(at[0], d_, v + row * rows.stride);
  }
  double largest_factor(const T*, std::size_t) const override { return 1.0; }
  void backward(AttentionRows<T>& rows, const T*, const double* factors, const T* const*,
                BlockGradient<T>* out) override {
    out->exponent = rows.scale_rows(factors);
    if (!this->is_number(out->exponent)) return;
    std::vector<double> sum(d_, 0.0);
    for (std::size_t row = 0; row < rows.n_chosen(); ++row)
      for (std::size_t j = 0; j < d_; ++j) sum[j] += static_cast<double>(rows.rows()[row * rows.stride + j]);
    out->values.assign(sum.begin(), sum.end());
  }
  std::vector<double> matrix(const double* const* at) const override { return {at[0], at[0] + d_}; }

 private:
  std::size_t d_;
};

}  // namespace softstep
