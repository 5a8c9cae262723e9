#pragma once

// A run in a lane of a SpanGroup, as the loop of a run sees it.

#include <cmath>
#include <limits>

#include "core/layer/gradient_size.h"
#include "core/trainer/many/lane_gap.h"
#include "core/trainer/many/span_group.h"
#include "core/trainer/trajectory.h"
#include "softstep/metrics.h"

namespace softstep {

/// A query-span trajectory whose evaluations and steps are those of the group. The trajectory itself, brought
/// up to date, does all that is not done at every step: measuring, writing the state, computing V afresh.
template <class T>
class SpanLane final : public Trajectory<T> {
 public:
  using Group = SpanGroup<T>;

  SpanLane(const Model<T>& model, const TrainState<T>& state, const TrainerOptions& options,
           SpanGroup<T>& group, std::size_t lane)
      : own_(attention_data_of(model), state),
        group_(group),
        lane_(lane),
        common_exponent_(own_.factors().common_exponent()),
        entries_(own_.entries(0)),
        gap_(attention_data_of(model)),
        reach_(frobenius_norm(state.blocks[0])),
        wants_gap_(make_step_rule<T>(options.rules[0])->needs_loss_gap()) {
    group.take_in(lane, attention_data_of(model), own_, wants_gap_ && gap_.is_from_optimal());
  }
  SpanLane(const SpanLane&) = delete;
  SpanLane& operator=(const SpanLane&) = delete;
  ~SpanLane() override { group_.leave(lane_); }

  Form form() const override { return Form::query_span; }
  int n_threads() const override { return 1; }
  typename Trajectory<T>::Entries entries(std::size_t) const override { return entries_; }

  /// Nothing is to be done between evaluations and steps.
  void prepare(std::int64_t) {}
  /// What the group has found.
  void evaluate(Evaluation<T>& out, unsigned want, SampleSet) override {
    out.gradients.resize(1);
    if ((want & want_loss_gap) != 0) out.loss_gap = gap_.find(group_.samples(), lane_);
    set_size(out.gradients[0]);
  }
  /// The gradient and the gap as evaluate() says, for less; false where there is more to them.
  bool find_gradient(StepContext<T>& at) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const double top = group_.samples().top(lane_), squared = group_.squared(lane_);
    whole_ = group_.samples().sum_of_sizes(lane_);
    if (!(top > -infinity) || !(top < infinity) || !(squared < infinity) ||
        !SpanTrajectory<T>::has_digits(squared, whole_))
      return false;
    at.n_rows = entries_.n_rows;
    at.n_cols = entries_.n_cols;
    at.gradient_exponent = top + common_exponent_;
    at.gradient_norm = std::sqrt(squared);
    if (wants_gap_) at.loss_gap = group_.samples().gap(lane_);
    return true;
  }
  /// How many steps from this one on need no more than find_gradient() and move().
  std::int64_t n_quiet(std::int64_t iteration) const {
    return wants_gap_ && !gap_.is_from_optimal() ? 0 : SpanTrajectory<T>::before_refresh(iteration);
  }
  void measure(Evaluation<T>& out) override {
    bring_back();
    own_.measure(out);
  }

  bool admits(std::size_t, const Step<T>& step) const override {
    return own_.holds(reach_after(step), step.coefficient);
  }
  /// Tells the group, which takes the steps of all runs at once; then settle().
  void move(std::size_t, const Step<T>& step, std::int64_t iteration) override {
    group_.set_step(lane_, static_cast<T>(-step.coefficient));
    reach_ = reach_after(step);
    is_moving_ = true;
    is_due_ = QuerySpanTrajectory<T>::is_refreshed_after(iteration);
  }
  void settle() {
    if (!is_moving_) return;
    is_moving_ = false;
    is_behind_ = true;
    if (!is_due_) return;
    is_due_ = false;
    bring_back();
    own_.refresh();
    group_.copy_in(lane_, own_);
  }

  void write(TrainState<T>& state) const override {
    bring_back();
    own_.write(state);
  }

 private:
  void set_size(BlockGradient<T>& out) {
    out.exponent = group_.samples().top(lane_) + common_exponent_;
    if (!has_rows(out.exponent)) return fill_without_rows(out, std::span<T>());
    whole_ = group_.samples().sum_of_sizes(lane_);
    const double squared = group_.squared(lane_);
    if (own_.has_digits(squared, whole_)) {
      out.norm = std::sqrt(squared);
      return;
    }
    out.norm = own_.norm_of(group_.gradient(lane_, own_).data());
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }
  double reach_after(const Step<T>& step) const { return reach_ + std::fabs(step.coefficient) * whole_; }
  void bring_back() const {
    if (!is_behind_) return;
    is_behind_ = false;
    group_.copy_out(lane_, own_);
  }

  mutable QuerySpanTrajectory<T> own_;
  SpanGroup<T>& group_;
  const std::size_t lane_;
  const double common_exponent_;
  const typename Trajectory<T>::Entries entries_;
  LaneGap<T> gap_;
  double whole_ = 0.0, reach_;  // as in a SpanTrajectory
  const bool wants_gap_;
  mutable bool is_behind_ = false;  // the own trajectory
  bool is_moving_ = false, is_due_ = false;
};

}  // namespace softstep
