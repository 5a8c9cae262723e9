#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/layer/passes/score_pass.h"
#include "core/trainer/forms/pass.h"
#include "core/trainer/forms/span_trajectory.h"

namespace softstep {

/// Of samples with one query, W = base + sum_it c_it xu_it zu_i^T with tokens x_it = 2^a_it xu_it and queries
/// z_i = 2^b_i zu_i: the scores x_it^T W z_i, and the Gram matrix <xu_k, xu_l> <zu_i, zu_j> of all tokens.
template <class T>
class TokenSpanTrajectory final : public SpanTrajectory<T> {
 public:
  TokenSpanTrajectory(const AttentionData<T>& data, const TrainState<T>& state)
      : SpanTrajectory<T>(data),
        n_(data.total_tokens),
        rows_(data.query_rows),
        scores_(n_, T(0)),
        weights_(n_, T(0)),
        attention_(data, scores_.data(), weights_.data()),
        tokens_(unit_tokens()),
        gram_(token_gram()) {
    if (token_powers_.empty()) tokens_ = {};
    for (std::size_t k = 0; k < n_; ++k) sizes_.push_back(std::sqrt(static_cast<double>(gram_[k * n_ + k])));
    std::vector<double> sizes = this->units_.sizes();
    sizes.insert(sizes.end(), sizes_.begin(), sizes_.end());
    this->start(state, scores_, weights_, sizes, powers_);
  }
  Form form() const override { return Form::token_span; }
  typename Trajectory<T>::Entries entries(std::size_t) const override { return {1, n_, nullptr}; }
  int n_threads() const override {
    const auto n = static_cast<double>(n_);
    return this->data_.threads_for(n * n + 16.0 * n);
  }

 private:
  // The powers of a sample's tokens, behind those of the samples before it. A zero token has the least of the
  // others, 0 of none: as r_t of a sample add up to 0, its coefficient, which counts nothing, is then no
  // larger than those of the others together.
  void add_token_powers(std::size_t i) {
    constexpr int of_zero = std::numeric_limits<int>::max();
    const BatchView<T>& batch = this->data_.batch;
    int least = of_zero;
    const std::size_t begin = token_powers_.size();
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      const auto largest =
          static_cast<double>(largest_of(batch.sample(i) + t * batch.row_stride(), batch.dim));
      token_powers_.push_back(largest == 0.0 ? of_zero : coarse_power<T>(largest));
      least = std::min(least, token_powers_.back());
    }
    std::replace(token_powers_.begin() + static_cast<std::ptrdiff_t>(begin), token_powers_.end(), of_zero,
                 least == of_zero ? 0 : least);
  }
  // The xu_it in batch order; sets token_powers_ and powers_.
  std::vector<T> unit_tokens() {
    const BatchView<T>& batch = this->data_.batch;
    const std::size_t d = batch.dim;
    std::vector<T> out(n_ * d);
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      add_token_powers(i);
      for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
        const T* x = batch.sample(i) + t * batch.row_stride();
        const std::size_t k = powers_.size();
        const int power = token_powers_[k];
        for (std::size_t j = 0; j < d; ++j) out[k * d + j] = power == 0 ? x[j] : std::scalbn(x[j], -power);
        powers_.push_back(power + this->units_.power(i));
      }
    }
    is_uniform_ = are_alike(powers_);
    if (are_alike(token_powers_) && (n_ == 0 || token_powers_[0] == 0)) token_powers_.clear();
    return out;
  }
  // Row t of sample i at + t * token_stride().
  const T* unit_tokens_of(std::size_t i) const {
    return tokens_.empty() ? this->data_.batch.sample(i) : tokens_.data() + first(i) * this->data_.batch.dim;
  }
  std::size_t token_stride() const {
    return tokens_.empty() ? this->data_.batch.row_stride() : this->data_.batch.dim;
  }
  void attend(const Team& team, bool with_rows) override { attention_.attend(team, rows_, with_rows); }
  const AttentionPass<T>& attention() const override { return attention_; }
  void scale(const Team& team, const RowFactors<T>& factors) override {
    factors.scale_weights(team, weights_.data(), token_powers_.empty() ? nullptr : token_powers_.data());
  }
  void add_in_units(const Team& team, double a, const T* image, T* projected) const override {
    const auto [begin, end] = team.share(n_, band_unit);
    if (is_uniform_) {
      const T factor = in_units<T>(a, n_ == 0 ? 0 : powers_[0]);
      this->data_.kernels.axpy(end - begin, factor, image + begin, projected + begin);
      return;
    }
    for (std::size_t k = begin; k < end; ++k)
      this->data_.kernels.axpy(1, in_units<T>(a, powers_[k]), image + k, projected + k);
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
    data.kernels.product_nt({n, d, d, this->units_.rows(), data.stride, weights, d, v.data(), d});
    for (std::size_t i = 0; i < n; ++i)
      data.kernels.product_nt({1, data.batch.tokens_of(i), d, v.data() + i * d, d, unit_tokens_of(i),
                               token_stride(), scores.data() + first(i), n_});
    for (std::size_t k = 0; k < n_; ++k) scores[k] = std::scalbn(scores[k], powers_[k]);
    return scores;
  }
  std::vector<T> expand(const T* coefficients) const override {
    const AttentionData<T>& data = this->data_;
    const std::size_t n = data.batch.n_samples, d = data.batch.dim;
    std::vector<T> rows(n * d, T(0)), w(d * d);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t)
        data.kernels.axpy(d, coefficients[first(i) + t], unit_tokens_of(i) + t * token_stride(),
                          rows.data() + i * d);
    for_each_block(d, d, data.threads_for(static_cast<double>(n * d) * static_cast<double>(d)),
                   [&](Block block) {
                     data.kernels.product_tn({block.n_rows, block.n_cols, n, rows.data() + block.row, d,
                                              this->units_.rows() + block.col, data.stride,
                                              w.data() + block.row * d + block.col, d});
                   });
    return w;
  }
  // Its rows are first written by the threads that read them in apply_gram(): both split the tokens into the
  // same bands.
  LargeArray<T> token_gram() const {
    const AttentionData<T>& data = this->data_;
    const std::size_t n = data.batch.n_samples, d = data.batch.dim;
    const std::vector<T>& tokens = tokens_;
    LargeArray<T> gram(n_ * n_);
    std::vector<std::size_t> sample(n_);
    for (std::size_t i = 0; i < n; ++i)
      std::fill_n(sample.begin() + static_cast<std::ptrdiff_t>(first(i)), data.batch.tokens_of(i), i);
    const std::vector<T> queries = Pass<T>(data, false).query_gram(this->units_.rows());
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

  std::size_t n_;  // tokens of all samples
  const PassRows rows_;
  std::vector<T> scores_, weights_;  // y and g
  ScorePass<T> attention_;
  std::vector<int> token_powers_, powers_;  // a_it, empty where all are 0; a_it + b_i
  bool is_uniform_ = true;                  // powers_
  std::vector<T> tokens_;                   // xu_it; empty where they are the batch's
  LargeArray<T> gram_;
  std::vector<double> sizes_;  // |xu_it| |zu_i|
};

}  // namespace softstep
