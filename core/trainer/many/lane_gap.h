#pragma once

// The loss gap of a run in a lane: from the group where it is measured from the optimal tokens, else from
// what the group says of its samples.

#include "core/layer/losses.h"
#include "core/trainer/many/lane_samples.h"

namespace softstep {

template <class T>
class LaneGap {
 public:
  explicit LaneGap(const AttentionData<T>& data)
      : is_from_optimal_(data.options.optimal_loss == OptimalLoss::optimal),
        rows_(data.query_rows),
        losses_(data, *data.given_scoring()),
        outcomes_(data.n_rows()) {}

  /// Whether the group has it, for those that want it.
  bool is_from_optimal() const { return is_from_optimal_; }
  Scaled find(const LaneSamples<T>& samples, std::size_t lane) {
    if (is_from_optimal_) return samples.gap(lane);
    samples.note(lane, outcomes_);
    losses_.sum(outcomes_, rows_, at_, want_loss_gap);
    return at_.loss_gap;
  }

 private:
  const bool is_from_optimal_;
  const PassRows rows_;
  Losses<T> losses_;
  Outcomes<T> outcomes_;
  Evaluation<T> at_;
};

}  // namespace softstep
