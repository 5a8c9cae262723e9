#pragma once

// A model's blocks under their rules.

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/objective/active_isa.h"
#include "core/trainer/batch_order.h"
#include "core/trainer/course.h"
#include "core/trainer/move_weights.h"
#include "softstep/metrics.h"
#include "softstep/model_trainer.h"

namespace softstep {

template <class T>
class ModelCourse final : public Course {
 public:
  /// Options and state have been checked.
  ModelCourse(Model<T>& model, ModelState<T>& state, const ModelTrainerOptions& options)
      : model_(model),
        state_(state),
        options_(options),
        kernels_(resolve_isa(model.isa()).template kernels<T>()),
        order_(model.n_samples(), options.batch_size, options.batch_seed) {
    for (std::size_t k = 0; k < state.blocks.size(); ++k) {
      rules_.push_back(make_step_rule<T>(options.rules[options.rules.size() == 1 ? 0 : k]));
      if (rules_.back()->needs_loss_gap()) want_ |= want_loss_gap;
      at_.push_back(state.blocks[k].data());
      bounds_.push_back(frobenius_norm(state.blocks[k].data(), state.blocks[k].size()));
    }
    if (state.masters.empty()) state.masters.resize(state.blocks.size());
  }

  Advance advance(std::int64_t iteration) override {
    model_.evaluate(at_, now_, want_, order_.at(iteration));
    for (const BlockGradient<T>& gradient : now_.gradients)
      if (!std::isfinite(gradient.norm)) return {TrainStatus::not_finite, 0.0};
    return options_.normalization == Normalization::joint ? advance_jointly(iteration)
                                                          : advance_separately(iteration);
  }

  void measure(TraceRecord& row) override {
    model_.evaluate(at_, now_, want_all);
    row.loss = now_.loss;
    row.log10_loss = now_.loss_scaled.log10();
    row.log10_gap = now_.loss_gap.log10();
    row.min_optimal_attention = now_.min_optimal_attention;
    row.log10_one_minus_optimal_attention = now_.log10_one_minus_optimal_attention;
    row.accuracy = now_.accuracy;
    const std::vector<Observable>& observables = model_.observables();
    for (std::size_t k = 0; k < observables.size(); ++k) {
      const std::vector<double> matrix = observe(model_, state_, k);
      TraceRecord::Watched watched;
      watched.norm = frobenius_norm(matrix.data(), matrix.size());
      watched.log10_gradient_norm =
          norm_of_blocks(observables[k].first_block, observables[k].n_blocks).log10();
      Direction direction{watched.one_minus_cos, row.angle};
      if (k < options_.references.size() && !options_.references[k].empty())
        direction = compare_direction(matrix.data(), options_.references[k].data(), matrix.size());
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

  // Blocks move, and what is watched is made of them: it is measured afresh each time.
  void moved(double) override {}
  bool surely_above(double) const override { return false; }
  bool direction_at_most(double threshold) override {
    const std::vector<double> matrix = observe(model_, state_, 0);
    return compare_direction(matrix.data(), options_.references[0].data(), matrix.size()).one_minus_cos <=
           threshold;
  }

 private:
  // On the largest exponent among them.
  Scaled norm_of_blocks(std::size_t first, std::size_t n) const {
    double top = -std::numeric_limits<double>::infinity(), squared = 0.0;
    for (std::size_t k = first; k < first + n; ++k)
      if (now_.gradients[k].norm != 0.0) top = std::max(top, now_.gradients[k].exponent);
    for (std::size_t k = first; k < first + n; ++k)
      if (now_.gradients[k].norm != 0.0)
        squared += std::pow(now_.gradients[k].norm * std::exp(now_.gradients[k].exponent - top), 2);
    return {std::sqrt(squared), top};
  }

  StepContext<T> context(std::size_t k, std::int64_t iteration) const {
    const BlockShape& shape = model_.blocks()[k];
    const BlockGradient<T>& gradient = now_.gradients[k];
    return {iteration,    now_.loss_gap,     gradient.values.data(), shape.n_rows,
            shape.n_cols, gradient.exponent, gradient.norm,          state_.blocks[k].data()};
  }

  Advance advance_separately(std::int64_t iteration) {
    const std::size_t n = state_.blocks.size();
    steps_.resize(n);
    std::vector<double> bounds = bounds_;
    std::size_t n_stationary = 0;
    bool gap_not_positive = false;
    for (std::size_t k = 0; k < n; ++k) {
      steps_[k] = rules_[k]->step(context(k, iteration), state_.rule_states[k]);
      const TrainStatus status = status_of(steps_[k], bounds[k]);
      if (status == TrainStatus::stationary) ++n_stationary;
      if (status == TrainStatus::gap_not_positive) gap_not_positive = true;
      if (status == TrainStatus::not_finite) return {status, 0.0};
    }
    if (order_.is_whole()) {
      if (gap_not_positive) return {TrainStatus::gap_not_positive, 0.0};
      if (n_stationary == n) return {TrainStatus::stationary, 0.0};
    }
    bounds_ = bounds;
    double length = 0.0;
    for (std::size_t k = 0; k < n; ++k) {
      if (steps_[k].outcome != Step<T>::Outcome::moved) continue;
      move_weights(kernels_, steps_[k], state_.blocks[k], state_.masters[k]);
      length = std::hypot(length, steps_[k].length);
    }
    return {TrainStatus::max_iterations, length};
  }

  // One step size for all, from the norm of the whole gradient; it moves every block along its own.
  Advance advance_jointly(std::int64_t iteration) {
    const Scaled whole = norm_of_blocks(0, state_.blocks.size());
    StepContext<T> at = context(0, iteration);
    at.gradient_norm = whole.mantissa;
    at.gradient_exponent = whole.exponent;
    const Step<T> step = rules_[0]->step(at, state_.rule_states[0]);
    std::vector<double> bounds = bounds_;
    if (step.outcome != Step<T>::Outcome::moved && !order_.is_whole())
      return {TrainStatus::max_iterations, 0.0};
    for (double& bound : bounds)
      if (const TrainStatus status = status_of(step, bound); status != TrainStatus::max_iterations)
        return {status, 0.0};
    bounds_ = bounds;
    for (std::size_t k = 0; k < state_.blocks.size(); ++k) {
      const BlockGradient<T>& gradient = now_.gradients[k];
      if (gradient.norm == 0.0) continue;
      Step<T> own = step;
      own.direction = gradient.values.data();
      own.coefficient *= std::exp(gradient.exponent - whole.exponent);
      move_weights(kernels_, own, state_.blocks[k], state_.masters[k]);
    }
    return {TrainStatus::max_iterations, step.length};
  }

  Model<T>& model_;
  ModelState<T>& state_;
  const ModelTrainerOptions& options_;
  const simd::Kernels<T>& kernels_;
  BatchOrder order_;
  std::vector<std::unique_ptr<StepRule<T>>> rules_;
  std::vector<const T*> at_;
  std::vector<double> bounds_;  // of the blocks' norms
  unsigned want_ = want_gradient;
  ModelEvaluation<T> now_;
  std::vector<Step<T>> steps_;
};

}  // namespace softstep
