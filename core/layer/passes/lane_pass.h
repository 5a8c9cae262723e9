#pragma once

#include <vector>

#include "core/layer/passes/attention_pass.h"
#include "core/layer/passes/lane_batch.h"

namespace softstep {

/// One sample to a lane, all samples at once, each with one query: V and g have the sample index last, dim x
/// n_lanes.
template <class T>
class LanePass final : public AttentionPass<T> {
 public:
  /// V is read from `projected` and g written to `rows`, which stay where they are.
  LanePass(const AttentionData<T>& data, const T* projected, T* rows);

  void attend(const Team& team, const PassRows& rows, bool with_rows) override;
  simd::AttentionStats<T> stats(std::size_t row) const override;

 private:
  void note(bool with_rows);

  const LaneBatch<T>& lanes_;
  const T* projected_;
  T* rows_;
  std::vector<T> weights_;
  // The fields of AttentionStats, each with all lanes.
  std::vector<T> pivot_, exponent_, pivot_attention_, mean_gap_, rest_, ties_, optimal_score_, largest_;
};

}  // namespace softstep
