#pragma once

// The way from projected queries V = Z W^T (or scores) to gradient rows g, for some samples of a batch.
// Passes differ in how their samples lie: sample by sample, one sample to a lane, scores that are given.

#include "core/layer/attention_data.h"
#include "core/layer/outcomes.h"
#include "core/threads/team.h"
#include "softstep/model.h"

namespace softstep {

template <class T>
class AttentionPass {
 public:
  virtual ~AttentionPass() = default;
  /// Forward, and backward if `with_rows`: g without l'. Called by all threads of a team; ends when all are
  /// done. A thread reads only its own share of V (PassRows::share; lanes: core/layer/sharing.h).
  virtual void attend(const Team& team, const PassRows& rows, bool with_rows) = 0;
  /// All that the kernel says of a row.
  virtual simd::AttentionStats<T> stats(std::size_t row) const = 0;
  const Outcomes<T>& outcomes() const { return outcomes_; }

 protected:
  AttentionPass(const AttentionData<T>& data, const Scoring<T>& scoring)
      : data_(data),
        scoring_(scoring),
        outcomes_(data.n_rows(), data.query_rows.are_samples() ? 0 : data.batch.n_samples) {}

  const AttentionData<T>& data_;
  const Scoring<T>& scoring_;
  Outcomes<T> outcomes_;
};

}  // namespace softstep
