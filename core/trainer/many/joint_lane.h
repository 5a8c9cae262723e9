#pragma once

// A run in a lane of a JointGroup, as the loop of a run sees it.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "core/layer/gradient_size.h"
#include "core/losses/loss_terms.h"
#include "core/trainer/many/joint_group.h"
#include "core/trainer/trajectory.h"

namespace softstep {

/// The blocks of a model of W and u, whose evaluations and steps are those of the group. The model itself
/// does all that is not done at every step: measuring.
template <class T>
class JointLane final : public Trajectory<T> {
 public:
  using Group = JointGroup<T>;

  JointLane(const Model<T>& model, const TrainState<T>& state, const TrainerOptions&, JointGroup<T>& group,
            std::size_t lane)
      : model_(model),
        data_(attention_data_of(model)),
        group_(group),
        lane_(lane),
        terms_(model.n_samples()) {
    std::array<typename JointGroup<T>::OfRun, n_blocks> run;
    for (std::size_t k = 0; k < n_blocks; ++k) {
      run[k].weights = blocks_[k] = state.blocks[k];
      if (is_compensated<T>) run[k].remainder = remainder_of(state.blocks[k], state.remainders[k]);
    }
    group.take_in(lane, data_, run);
  }
  JointLane(const JointLane&) = delete;
  JointLane& operator=(const JointLane&) = delete;
  ~JointLane() override { group_.leave(lane_); }

  Form form() const override { return Form::dense; }
  int n_threads() const override { return 1; }
  typename Trajectory<T>::Entries entries(std::size_t k) const override {
    return {data_.batch.dim, k == 0 ? data_.batch.dim : 1, nullptr};
  }

  /// Nothing is to be done between evaluations and steps, and no step is quiet: there are two blocks.
  void prepare(std::int64_t) {}
  bool find_gradient(StepContext<T>&) const { return false; }
  std::int64_t n_quiet(std::int64_t) const { return 0; }
  /// What the group has found.
  void evaluate(Evaluation<T>& out, unsigned want, SampleSet) override {
    out.gradients.resize(n_blocks);
    const double poison = group_.samples().poison(lane_);
    out.gradients[0].exponent = group_.samples().top(lane_) + poison;
    out.gradients[1].exponent = group_.samples().top_of_slopes(lane_) + poison;
    for (std::size_t k = 0; k < n_blocks; ++k) set_size(k, out.gradients[k]);
    if ((want & want_loss_gap) != 0) out.loss_gap = loss_gap();
  }
  void measure(Evaluation<T>& out) override {
    bring_back();
    if (space_ == nullptr) space_ = model_.make_workspace();
    const std::span<const T> at[n_blocks] = {blocks_[0], blocks_[1]};
    model_.evaluate(Point<T>(at), out, *space_, want_all);
  }

  /// Tells the group, which takes the steps of all runs at once; then settle().
  void move(std::size_t k, const Step<T>& step, std::int64_t) override {
    group_.set_step(lane_, k, step.coefficient, -powers_[k]);
    is_moving_ = true;
  }
  void settle() {
    is_behind_ = is_behind_ || is_moving_;
    is_moving_ = false;
  }

  void write(TrainState<T>& state) const override {
    bring_back();
    state.span = {};
    for (std::size_t k = 0; k < n_blocks; ++k) {
      state.blocks[k] = blocks_[k];
      state.remainders[k] = group_.remainder(lane_, k);
    }
  }

 private:
  static constexpr std::size_t n_blocks = JointGroup<T>::n_blocks;

  void set_size(std::size_t k, BlockGradient<T>& out) {
    if (!has_rows(out.exponent)) return fill_without_rows(out, std::span<T>());
    const double squared = group_.squared(lane_, k);
    powers_[k] = 0;
    if (squares_keep_digits<T>(squared)) {
      out.norm = std::sqrt(squared);
    } else {
      // As a run alone has it: near 1, so that a step's coefficient is a number where the step is one.
      const double norm = norm_of_matrix(group_.samples().kernels(), group_.gradient(lane_, k));
      powers_[k] = norm > 0.0 && std::isfinite(norm) ? std::clamp(std::ilogb(norm), -1000, 1000) : 0;
      out.norm = std::ldexp(norm, -powers_[k]);
      out.exponent += powers_[k] * std::log(2.0);
    }
    if (out.norm == 0.0) out.exponent = -std::numeric_limits<double>::infinity();
  }
  // With a trained decoder L* is 0 or given.
  Scaled loss_gap() {
    for (std::size_t i = 0; i < terms_.size(); ++i)
      terms_[i] = data_.loss.scaled(group_.samples().margin(i, lane_), data_.batch.target(i));
    return minus_optimal(mean_scaled(terms_.data(), terms_.size()), model_.optimal_loss());
  }
  void bring_back() const {
    if (!is_behind_) return;
    is_behind_ = false;
    for (std::size_t k = 0; k < n_blocks; ++k) blocks_[k] = group_.weights(lane_, k);
  }

  const Model<T>& model_;
  const AttentionData<T>& data_;
  JointGroup<T>& group_;
  const std::size_t lane_;
  mutable std::array<std::vector<T>, n_blocks> blocks_;
  std::array<int, n_blocks> powers_ = {};  // steps are made of the group's mantissas over 2 to these
  std::vector<Scaled> terms_;              // work space, by sample
  std::unique_ptr<Workspace> space_;
  mutable bool is_behind_ = false;  // the blocks
  bool is_moving_ = false;
};

}  // namespace softstep
