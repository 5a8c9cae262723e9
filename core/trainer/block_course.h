#pragma once

// A model's blocks under their rules. A step is proposed for every block, then taken for all or refused for
// all.

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/trainer/batch_order.h"
#include "core/trainer/compensation.h"
#include "core/trainer/direction_watch.h"
#include "core/trainer/run.h"
#include "core/trainer/trajectory.h"
#include "softstep/metrics.h"

namespace softstep {

/// Whether a trajectory finds the steps of its rule by itself: propose(iteration) in place of the rule's, and
/// what the rule remembers with it.
template <class Path>
concept FindsSteps = requires(Path& path, std::int64_t iteration) {
  path.propose(iteration);
};

/// `Path`: a Trajectory, or one whose functions are known to the compiler.
template <class T, class Path = Trajectory<T>>
class BlockCourse final : public Course {
 public:
  /// Options and state have been checked. `trajectory`: where the run stands; none: make_trajectory().
  BlockCourse(const Model<T>& model, TrainState<T>& state, const TrainerOptions& options,
              std::unique_ptr<Path> trajectory = nullptr)
      : model_(model),
        state_(state),
        options_(options),
        order_(model.n_samples(), options.batch_size, options.batch_seed),
        observables_(model.observables()),
        direction_(options.references.empty() ? no_reference_ : options.references[0]) {
    const std::size_t n = state.blocks.size();
    bool along_gradient = true;
    for (std::size_t k = 0; k < n; ++k) {
      rules_.push_back(make_step_rule<T>(options.rule(k)));
      along_gradient = along_gradient && rules_[k]->moves_along_gradient();
      if (rules_[k]->needs_loss_gap()) want_ |= want_loss_gap;
      bounds_.push_back(frobenius_norm(state.blocks[k]));
    }
    state.remainders.resize(n);
    if constexpr (std::is_same_v<Path, Trajectory<T>>)
      if (trajectory == nullptr)
        trajectory = make_trajectory(model, state, options, along_gradient, order_.is_whole());
    trajectory_ = std::move(trajectory);
    for (std::size_t k = 0; k < n; ++k) {
      if constexpr (!FindsSteps<Path>) memory_.push_back(laid_out(k, state.rule_states[k]));
      rounding_.emplace_back(rounding_of_weights<T>(!state.masters[k].empty()), bounds_[k]);
    }
    next_.resize(n);
    steps_.resize(n);
    proposed_bounds_ = bounds_;
  }

  const Path& trajectory() const { return *trajectory_; }
  Path& trajectory() { return *trajectory_; }

  Advance advance(std::int64_t iteration) override {
    trajectory_->evaluate(now_, want_, order_.at(iteration));
    for (const BlockGradient<T>& gradient : now_.gradients)
      if (!std::isfinite(gradient.norm)) return {TrainStatus::not_finite};
    return options_.normalization == Normalization::joint ? advance_jointly(iteration)
                                                          : advance_separately(iteration);
  }

  /// Whether most steps can be taken by advance_quietly().
  bool is_quiet() const {
    return rules_.size() == 1 && (FindsSteps<Path> || rules_[0]->memory().empty()) &&
           options_.normalization != Normalization::joint && order_.is_whole();
  }
  /// advance() of a step like most, with the same numbers for less; its length, or nothing, and nothing has
  /// happened, where it is another. `Path` finds gradients by itself.
  std::optional<double> advance_quietly(std::int64_t iteration) {
    StepContext<T>& at = quiet_context_;
    if (!trajectory_->find_gradient(at)) return {};
    at.iteration = iteration;
    const Step<T> step = propose_alone(at);
    if (step.outcome != Step<T>::Outcome::moved || rounding_[0].may_be_below(step.length) ||
        !stays_finite(step, 0))
      return {};
    has_moved_ = true;
    rounding_[0].taken(step.length);
    bounds_[0] = proposed_bounds_[0];
    trajectory_->move(0, step, iteration);
    return step.length;
  }

  void measure(TraceRecord& row) override {
    trajectory_->measure(measured_);
    write_state();
    row.loss = measured_.loss;
    row.log10_loss = measured_.loss_scaled.log10();
    row.log10_gap = measured_.loss_gap.log10();
    row.optimal_loss = measured_.optimal_loss;
    row.min_optimal_attention = measured_.min_optimal_attention;
    row.log10_one_minus_optimal_attention = measured_.log10_one_minus_optimal_attention;
    row.accuracy = measured_.accuracy;
    for (std::size_t k = 0; k < observables_.size(); ++k) {
      const std::vector<double> matrix = observe(model_, state_, k);
      TraceRecord::Watched watched;
      watched.norm = frobenius_norm(matrix);
      watched.log10_gradient_norm =
          norm_of_blocks(measured_, observables_[k].first_block, observables_[k].n_blocks).log10();
      Direction direction{watched.one_minus_cos, row.angle};
      if (k < options_.references.size() && !options_.references[k].empty())
        direction = compare_direction(matrix, options_.references[k]);
      watched.one_minus_cos = direction.one_minus_cos;
      if (k > 0) {
        row.others.push_back(watched);
        continue;
      }
      row.weight_norm = watched.norm;
      row.log10_gradient_norm = watched.log10_gradient_norm;
      row.one_minus_cos = direction.one_minus_cos;
      row.angle = direction.angle;
    }
  }

  void write_state() override {
    if (!has_moved_) return;
    has_moved_ = false;
    trajectory_->write(state_);
    if constexpr (!FindsSteps<Path>)
      for (std::size_t k = 0; k < memory_.size(); ++k) state_.rule_states[k] = laid_out(k, memory_[k]);
  }

  // A direction that is a block itself turns by no more than the block moves; any other is measured afresh
  // each time.
  void moved(double length) override {
    constexpr auto unit = std::numeric_limits<T>::epsilon();
    direction_.moved(length, state_.masters[observables_[0].first_block].empty()
                                 ? static_cast<double>(unit)
                                 : std::numeric_limits<double>::epsilon());
  }
  bool surely_above(double threshold) const override {
    return is_block_ && direction_.surely_above(threshold);
  }
  bool direction_at_most(double threshold) override {
    write_state();
    const std::vector<double> observed = observe(model_, state_, 0);
    // A model may make something else of its one block, which moves by more than that.
    is_block_ = observables_[0].n_blocks == 1 && observed == state_.values(observables_[0].first_block);
    return direction_.at_most(observed, threshold);
  }

 private:
  // Rules see matrices as the trajectory has them, a state keeps them as its blocks: it can be taken up under
  // another layout.
  RuleState laid_out(std::size_t k, const RuleState& from) const {
    RuleState to;
    for (const auto& [name, values] : from.values)
      to.values[name] = values.size() == state_.blocks[k].size() ? trajectory_->laid_out(k, values) : values;
    return to;
  }

  // On the largest exponent among them.
  static Scaled norm_of_blocks(const Evaluation<T>& at, std::size_t first, std::size_t n) {
    if (n == 1) return at.gradients[first].norm_scaled();
    double top = -std::numeric_limits<double>::infinity(), squared = 0.0;
    for (std::size_t k = first; k < first + n; ++k)
      if (at.gradients[k].norm != 0.0) top = std::max(top, at.gradients[k].exponent);
    for (std::size_t k = first; k < first + n; ++k)
      if (at.gradients[k].norm != 0.0)
        squared += std::pow(at.gradients[k].norm * std::exp(at.gradients[k].exponent - top), 2);
    return {std::sqrt(squared), top};
  }

  StepContext<T> context(std::size_t k, std::int64_t iteration) const {
    const typename Trajectory<T>::Entries entries = trajectory_->entries(k);
    const BlockGradient<T>& gradient = now_.gradients[k];
    return {.iteration = iteration,
            .loss_gap = now_.loss_gap,
            .gradient = gradient.mantissa().data(),
            .n_rows = entries.n_rows,
            .n_cols = entries.n_cols,
            .gradient_exponent = gradient.exponent,
            .gradient_norm = gradient.norm,
            .weights = entries.weights};
  }

  // Whether a step keeps block k finite: its norm grows by no more than the step. Checked before anything is
  // written.
  bool stays_finite(const Step<T>& step, std::size_t k) {
    constexpr auto largest = static_cast<double>(std::numeric_limits<T>::max());
    proposed_bounds_[k] = bounds_[k] + step.length;
    return proposed_bounds_[k] < largest && std::fabs(step.coefficient) < largest &&
           trajectory_->admits(k, step);
  }

  Step<T> propose_alone(const StepContext<T>& at) {
    if constexpr (FindsSteps<Path>)
      return trajectory_->propose(at.iteration);
    else
      return rules_[0]->propose(at, memory_[0], next_[0]);
  }

  // advance_separately() of one block, which is what most runs have and small ones notice.
  Advance advance_alone(std::int64_t iteration) {
    using Outcome = typename Step<T>::Outcome;
    const Step<T> step = propose_alone(context(0, iteration));
    if (step.outcome == Outcome::moved) {
      if (!stays_finite(step, 0)) return {TrainStatus::not_finite};
      has_moved_ = true;
      trajectory_->move(0, step, iteration);
      if constexpr (!FindsSteps<Path>) remember(0);
      bounds_[0] = proposed_bounds_[0];
      return {{}, step.length, is_below_rounding(0, step.length)};
    }
    if (!order_.is_whole()) return {{}, 0.0, true};
    return {step.outcome == Outcome::stationary ? TrainStatus::stationary : TrainStatus::gap_not_positive};
  }

  Advance advance_separately(std::int64_t iteration) {
    const std::size_t n = state_.blocks.size();
    if (n == 1) return advance_alone(iteration);
    std::size_t n_stationary = 0;
    bool gap_not_positive = false;
    for (std::size_t k = 0; k < n; ++k) {
      steps_[k] = rules_[k]->propose(context(k, iteration), memory_[k], next_[k]);
      if (steps_[k].outcome == Step<T>::Outcome::stationary) ++n_stationary;
      if (steps_[k].outcome == Step<T>::Outcome::gap_not_positive) gap_not_positive = true;
      if (steps_[k].outcome == Step<T>::Outcome::moved && !stays_finite(steps_[k], k))
        return {TrainStatus::not_finite};
    }
    if (order_.is_whole()) {
      if (gap_not_positive) return {TrainStatus::gap_not_positive};
      if (n_stationary == n) return {TrainStatus::stationary};
    }
    double length = 0.0;
    bool is_below = true;
    has_moved_ = true;
    for (std::size_t k = 0; k < n; ++k) {
      const Step<T>& step = steps_[k];
      if (step.outcome != Step<T>::Outcome::moved) continue;
      trajectory_->move(k, step, iteration);
      remember(k);
      bounds_[k] = proposed_bounds_[k];
      length = std::hypot(length, step.length);
      if (!is_below_rounding(k, step.length)) is_below = false;
    }
    return {{}, length, is_below};
  }

  // One step size for all, from the norm of the whole gradient; it moves every block along its own.
  Advance advance_jointly(std::int64_t iteration) {
    const std::size_t n = state_.blocks.size();
    const Scaled whole = norm_of_blocks(now_, 0, n);
    StepContext<T> at = context(0, iteration);
    at.gradient_norm = whole.mantissa;
    at.gradient_exponent = whole.exponent;
    const Step<T> step = rules_[0]->propose(at, memory_[0], next_[0]);
    if (step.outcome != Step<T>::Outcome::moved) {
      if (!order_.is_whole()) return {{}, 0.0, true};
      return {step.outcome == Step<T>::Outcome::stationary ? TrainStatus::stationary
                                                           : TrainStatus::gap_not_positive};
    }
    for (std::size_t k = 0; k < n; ++k)
      if (!stays_finite(step, k)) return {TrainStatus::not_finite};
    bool is_below = true;
    has_moved_ = true;
    for (std::size_t k = 0; k < n; ++k) {
      bounds_[k] = proposed_bounds_[k];
      const BlockGradient<T>& gradient = now_.gradients[k];
      if (gradient.norm == 0.0) continue;
      Step<T> own = step;
      own.direction = gradient.mantissa().data();
      own.coefficient *= std::exp(gradient.exponent - whole.exponent);
      trajectory_->move(k, own, iteration);
      if (!is_below_rounding(k, own.coefficient * gradient.norm)) is_below = false;
    }
    remember(0);
    return {{}, step.length, is_below};
  }

  // Whether a step that block k has taken was shorter than its rounding.
  bool is_below_rounding(std::size_t k, double length) {
    return rounding_[k].is_below(length, [&] {
      write_state();
      has_moved_ = true;
      return frobenius_norm(state_.blocks[k]);
    });
  }

  // What the rule proposed to remember; most rules remember nothing.
  void remember(std::size_t k) {
    RuleState &now = memory_[k], &next = next_[k];
    if (!now.values.empty() || !next.values.empty()) now.values.swap(next.values);
    if (!now.direction.empty() || !next.direction.empty()) now.direction.swap(next.direction);
  }

  const Model<T>& model_;
  TrainState<T>& state_;
  const TrainerOptions& options_;
  BatchOrder order_;
  const std::vector<Observable> observables_;
  const std::vector<double> no_reference_;
  std::vector<std::shared_ptr<const StepRule<T>>> rules_;
  std::unique_ptr<Path> trajectory_;
  std::vector<RuleState> memory_, next_;  // of each block: what its rule remembers, and would
  std::vector<Step<T>> steps_;
  StepContext<T> quiet_context_;
  std::vector<double> bounds_, proposed_bounds_;  // of the blocks' norms
  std::vector<RoundingWatch> rounding_;
  DirectionWatch direction_;
  bool is_block_ = false;  // what is watched, as it was measured last
  unsigned want_ = want_gradient;
  bool has_moved_ = false;  // since the state was written
  Evaluation<T> now_, measured_;
};

}  // namespace softstep
