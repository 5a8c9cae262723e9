#pragma once

#include <cmath>

#include "core/layer/score_pass.h"
#include "core/trainer/forms/pass.h"
#include "core/trainer/forms/span_trajectory.h"

namespace softstep {

/// W = base + sum_it a_it x_it z_i^T: the scores x_it^T W z_i, and the Gram matrix <x_k, x_l> <z_i, z_j> of all tokens.
template <class T>
class TokenSpanTrajectory final : public SpanTrajectory<T> {
 public:
  TokenSpanTrajectory(const AttentionData<T>& data, const TrainState<T>& state)
      : SpanTrajectory<T>(data),
        n_(data.total_tokens),
        scores_(n_, T(0)),
        weights_(n_, T(0)),
        attention_(data, scores_.data(), weights_.data()),
        gram_(token_gram()) {
    for (std::size_t k = 0; k < n_; ++k) sizes_.push_back(std::sqrt(static_cast<double>(gram_[k * n_ + k])));
    this->start(state, scores_, weights_);
  }
  Form form() const override { return Form::token_span; }
  typename Trajectory<T>::Entries entries(std::size_t) const override { return {1, n_, nullptr}; }
  int n_threads() const override {
    const auto n = static_cast<double>(n_);
    return this->data_.threads_for(n * n + 16.0 * n);
  }

 private:
  const T* token(std::size_t i, std::size_t t) const {
    const BatchView<T>& batch = this->data_.batch;
    return batch.sample(i) + t * batch.row_stride();
  }
  void attend(const Team& team, bool with_rows) override { attention_.attend(team, {}, with_rows); }
  const AttentionPass<T>& attention() const override { return attention_; }
  void scale(const Team& team, const RowFactors<T>& factors) override {
    factors.scale_weights(team, weights_.data());
  }
  std::size_t first(std::size_t i) const { return this->data_.given_scoring()->first(i); }
  void apply_gram(const Team& team, const T* g, T* out) const override {
    for_each_block(1, n_, team, [&](Block block) {
      this->data_.kernels.product_nt(
          {1, block.n_cols, n_, g, n_, gram_.data() + block.col * n_, n_, out + block.col, n_});
    });
  }
  double sum_of_sizes(const T* g) const override {
    const auto size = [&](std::size_t k) { return std::fabs(static_cast<double>(g[k])) * sizes_[k]; };
    // Two chains, which need not wait for each other.
    double even = 0.0, odd = 0.0;
    for (std::size_t k = 0; k + 1 < n_; k += 2) {
      even += size(k);
      odd += size(k + 1);
    }
    return even + odd + (n_ % 2 == 0 ? 0.0 : size(n_ - 1));
  }
  std::vector<T> project_base(const T* weights) const override {
    const AttentionData<T>& data = this->data_;
    const std::size_t n = data.batch.n_samples, d = data.batch.dim;
    std::vector<T> v(n * d), scores(n_);
    data.kernels.product_nt({n, d, d, data.queries.data(), data.stride, weights, d, v.data(), d});
    for (std::size_t i = 0; i < n; ++i)
      data.kernels.product_nt({1, data.batch.tokens_of(i), d, v.data() + i * d, d, token(i, 0),
                               data.batch.row_stride(), scores.data() + first(i), n_});
    return scores;
  }
  std::vector<T> expand(const T* coefficients) const override {
    const AttentionData<T>& data = this->data_;
    const std::size_t n = data.batch.n_samples, d = data.batch.dim;
    std::vector<T> rows(n * d, T(0)), w(d * d);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t)
        data.kernels.axpy(d, coefficients[first(i) + t], token(i, t), rows.data() + i * d);
    for_each_block(d, d, data.threads_for(static_cast<double>(n * d) * static_cast<double>(d)),
                   [&](Block block) {
                     data.kernels.product_tn({block.n_rows, block.n_cols, n, rows.data() + block.row, d,
                                              data.queries.data() + block.col, data.stride,
                                              w.data() + block.row * d + block.col, d});
                   });
    return w;
  }
  // Its rows are first written by the threads that read them in apply_gram(): both split the tokens into the same bands.
  LargeArray<T> token_gram() const {
    const AttentionData<T>& data = this->data_;
    const std::size_t n = data.batch.n_samples, d = data.batch.dim;
    std::vector<T> tokens(n_ * d);
    LargeArray<T> gram(n_ * n_);
    std::vector<std::size_t> sample(n_);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t) {
        const std::size_t k = first(i) + t;
        std::copy_n(token(i, t), d, tokens.begin() + static_cast<std::ptrdiff_t>(k * d));
        sample[k] = i;
      }
    const std::vector<T> queries = Pass<T>(data, false).query_gram();
    const double work = static_cast<double>(n_) * static_cast<double>(n_) * static_cast<double>(d);
    for_each_block(n_, n_, data.threads_for(work), [&](Block block) {
      data.kernels.product_nt({block.n_rows, block.n_cols, d, tokens.data() + block.row * d, d,
                               tokens.data() + block.col * d, d, gram.data() + block.row * n_ + block.col,
                               n_});
      for (std::size_t k = block.row; k < block.row + block.n_rows; ++k)
        for (std::size_t l = block.col; l < block.col + block.n_cols; ++l)
          gram[k * n_ + l] *= queries[sample[k] * n + sample[l]];
    });
    return gram;
  }

  std::size_t n_;                    // tokens of all samples
  std::vector<T> scores_, weights_;  // y and g
  ScorePass<T> attention_;
  LargeArray<T> gram_;
  std::vector<double> sizes_;  // |x_it| |z_i|
};

}  // namespace softstep
