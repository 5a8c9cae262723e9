#pragma once

// A run in a lane of a DenseGroup, as the loop of a run sees it.

#include <cmath>
#include <limits>
#include <memory>

#include "core/layer/gradient_size.h"
#include "core/trainer/forms/dense_trajectory.h"
#include "core/trainer/many/dense_group.h"
#include "core/trainer/many/lane_gap.h"

namespace softstep {

/// A dense trajectory whose evaluations and steps are those of the group, rule and all. The trajectory
/// itself, brought up to date, does all that is not done at every step: measuring, and writing the state.
template <class T>
class DenseLane final : public Trajectory<T> {
 public:
  using Group = DenseGroup<T>;

  DenseLane(const Model<T>& model, const TrainState<T>& state, const TrainerOptions& options,
            DenseGroup<T>& group, std::size_t lane)
      : own_(attention_data_of(model), state, false),
        group_(group),
        lane_(lane),
        dim_(attention_data_of(model).batch.dim),
        common_exponent_(own_.factors().common_exponent()),
        gap_(attention_data_of(model)),
        rule_(make_lane_rule(group.samples().shape().rule, options.rules[0])) {
    const RuleState& memory = state.rule_states[0];
    rule_->read(memory);
    group.take_in(lane, attention_data_of(model), own_.factors(),
                  {state.blocks[0],
                   is_compensated<T> ? remainder_of(state.blocks[0], state.remainders[0]) : std::vector<T>(),
                   remembered(memory, rule_->mean_name()), remembered(memory, rule_->root_name())},
                  rule_->needs_loss_gap() && gap_.is_from_optimal());
  }
  DenseLane(const DenseLane&) = delete;
  DenseLane& operator=(const DenseLane&) = delete;
  ~DenseLane() override { group_.leave(lane_); }

  Form form() const override { return Form::dense; }
  int n_threads() const override { return 1; }
  typename Trajectory<T>::Entries entries(std::size_t) const override { return {dim_, dim_, nullptr}; }

  /// Between the group's evaluate() and propose(): what the group has found, and what its kernel needs of
  /// this run.
  void prepare(std::int64_t iteration) {
    find_size();
    proposes_ = std::isfinite(found_.gradient_norm) && found_.gradient_norm > 0.0;
    if (rule_->needs_loss_gap()) {
      found_.loss_gap = gap_.find(group_.samples(), lane_);
      proposes_ = proposes_ && found_.loss_gap.mantissa > 0.0;
    }
    if (!proposes_) return group_.set_coefficients(lane_, {});
    found_.iteration = iteration;
    found_.largest_mean = group_.largest_mean(lane_);
    found_.largest_root = group_.largest_root(lane_);
    coefficients_ = rule_->propose(found_);
    group_.set_coefficients(lane_, coefficients_);
  }
  void evaluate(Evaluation<T>& out, unsigned, SampleSet) override {
    out.gradients.resize(1);
    out.gradients[0].exponent = found_.gradient_exponent;
    out.gradients[0].norm = found_.gradient_norm;
    out.loss_gap = found_.loss_gap;
  }
  bool find_gradient(StepContext<T>&) const { return proposes_; }
  std::int64_t n_quiet(std::int64_t) const { return std::numeric_limits<std::int64_t>::max(); }
  /// The step that the group has computed.
  Step<T> propose(std::int64_t) const {
    using Outcome = typename Step<T>::Outcome;
    if (found_.gradient_norm == 0.0) return {Outcome::stationary, 0.0, nullptr, 0.0};
    if (!proposes_) return {Outcome::gap_not_positive, 0.0, nullptr, 0.0};
    return {Outcome::moved, coefficients_.step, nullptr, coefficients_.step * norm_of_step()};
  }
  void measure(Evaluation<T>& out) override {
    bring_back();
    own_.measure(out);
  }

  /// Tells the group, which takes the steps of all runs at once; then settle().
  void move(std::size_t, const Step<T>&, std::int64_t) override {
    group_.accept(lane_);
    is_moving_ = true;
  }
  void settle() {
    if (!is_moving_) return;
    is_moving_ = false;
    is_behind_ = true;
    rule_->accept();
  }

  void write(TrainState<T>& state) const override {
    bring_back();
    own_.write(state);
    RuleState& memory = state.rule_states[0];
    memory.values.clear();
    if (rule_->mean_name() != nullptr) memory.values[rule_->mean_name()] = group_.mean(lane_);
    if (rule_->root_name() != nullptr) memory.values[rule_->root_name()] = group_.root(lane_);
    rule_->write(memory);
  }

 private:
  static std::vector<double> remembered(const RuleState& memory, const char* name) {
    if (name == nullptr) return {};
    const auto found = memory.values.find(name);
    return found == memory.values.end() ? std::vector<double>() : found->second;
  }
  void find_size() {
    found_.gradient_exponent = group_.samples().top(lane_) + common_exponent_;
    if (!has_rows(found_.gradient_exponent)) {
      BlockGradient<T> none;
      none.exponent = found_.gradient_exponent;
      fill_without_rows(none, std::span<T>());
      found_.gradient_norm = none.norm;
      return;
    }
    const double squared = group_.squared(lane_);
    if (squares_keep_digits<T>(squared)) {
      found_.gradient_norm = std::sqrt(squared);
      return;
    }
    found_.gradient_norm = norm_of_matrix(group_.samples().kernels(), group_.gradient(lane_));
    if (found_.gradient_norm == 0.0) found_.gradient_exponent = -std::numeric_limits<double>::infinity();
  }
  double norm_of_step() const {
    const double squared = group_.squared_step(lane_);
    if (squares_keep_digits<double>(squared)) return std::sqrt(squared);
    const std::vector<T> gradient = group_.gradient(lane_);
    const std::vector<double> mean = group_.next_mean(lane_), root = group_.next_root(lane_);
    std::vector<double> direction(gradient.size());
    for (std::size_t k = 0; k < direction.size(); ++k)
      direction[k] = rule_->direction(static_cast<double>(gradient[k]), mean.empty() ? 0.0 : mean[k],
                                      root.empty() ? 0.0 : root[k], coefficients_);
    return frobenius_norm(direction);
  }
  void bring_back() const {
    if (!is_behind_) return;
    is_behind_ = false;
    own_.set_weights(group_.weights(lane_), group_.remainder(lane_));
  }

  mutable DenseTrajectory<T> own_;
  DenseGroup<T>& group_;
  const std::size_t lane_, dim_;
  const double common_exponent_;
  LaneGap<T> gap_;
  const std::unique_ptr<LaneRuleOfRun> rule_;
  LaneContext found_;
  LaneCoefficients coefficients_;
  bool proposes_ = false;
  mutable bool is_behind_ = false;  // the own trajectory
  bool is_moving_ = false;
};

}  // namespace softstep
