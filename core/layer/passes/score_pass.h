#pragma once

#include <algorithm>
#include <vector>

#include "core/layer/mantissa.h"
#include "core/layer/passes/attention_pass.h"

namespace softstep {

/// Scores that are given, all samples, each with one query: one score, and one r_t / e^c in place of a
/// gradient row, per token in batch order.
template <class T>
class ScorePass final : public AttentionPass<T> {
 public:
  /// Scores are read from `scores` and r written to `weights`, which stay where they are.
  ScorePass(const AttentionData<T>& data, const T* scores, T* weights)
      : AttentionPass<T>(data, *data.given_scoring()), scores_(scores), weights_(weights) {
    work_stride_ = simd::round_up_to_lanes<T>(2 * data.longest) + simd::lane_multiple<T>;
    work_.assign(work_stride_ * static_cast<std::size_t>(data.n_threads), T(0));
    stats_.resize(data.batch.n_samples);
    largest_token_.assign(data.batch.n_samples, 0.0);
    for (std::size_t i = 0; i < data.batch.n_samples; ++i)
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t)
        largest_token_[i] = std::max(
            largest_token_[i], static_cast<double>(largest_of(
                                   data.batch.sample(i) + t * data.batch.row_stride(), data.batch.dim)));
  }

  void attend(const Team& team, const PassRows&, bool with_rows) override {
    const AttentionData<T>& data = this->data_;
    const auto [begin, end] = team.share(data.batch.n_samples);
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = this->scoring_.first(i), n_tokens = data.batch.tokens_of(i);
      T* space = work_.data() + work_stride_ * team.rank;
      T* r = with_rows ? weights_ + first : space + data.longest;
      std::copy_n(scores_ + first, n_tokens, space);
      simd::AttentionArgs<T> args{};
      args.n_tokens = n_tokens;
      args.score_gaps = this->scoring_.gaps(i);
      args.optimal = this->scoring_.optimal(i);
      args.scores = space;
      args.weights = r;
      stats_[i] = data.kernels.attention_of(args);
      this->outcomes_.note(i, stats_[i],
                           with_rows ? largest_token_[i] * static_cast<double>(largest_of(r, n_tokens)) : 0.0,
                           this->scoring_, i);
    }
    team.wait();
  }
  simd::AttentionStats<T> stats(std::size_t row) const override { return stats_[row]; }

 private:
  const T* scores_;
  T* weights_;
  std::vector<T> work_;
  std::size_t work_stride_;
  std::vector<simd::AttentionStats<T>> stats_;
  std::vector<double> largest_token_;  // largest |x_itj| of each sample
};

}  // namespace softstep
