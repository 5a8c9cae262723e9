#pragma once

// The arithmetic of runs side by side whose rules compute a step entry by entry: W itself, one run to a lane.
// The order of sums is that of lane_samples.h.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "core/trainer/compensation.h"
#include "core/trainer/many/dense_products.h"
#include "core/trainer/many/lane_rules.h"

namespace softstep {

template <class T>
class DenseGroup {
 public:
  explicit DenseGroup(const RunShape& shape)
      : samples_(shape),
        products_(shape, samples_.columns()),
        size_(shape.dim * shape.dim),
        is_moving_(samples_.width(), false),
        is_taken_(is_moving_) {
    const std::size_t whole = size_ * width();
    gradient_.assign(whole, T(0));
    for (Kept* kept : {&now_, &next_}) {
      kept->weights.assign(whole, T(0));
      if (is_compensated<T>) kept->remainder.assign(whole, T(0));
      if (shape.rule != LaneRule::sign) kept->mean.assign(whole, 0.0);
      if (shape.rule == LaneRule::adam) kept->root.assign(whole, 0.0);
    }
    for (auto* by_run : by_run_) by_run->assign(width(), 0.0);
    for (auto* by_run : {&squared_, &squared_step_, &largest_mean_, &largest_root_})
      by_run->assign(width(), 0.0);
    for (std::size_t lane = 0; lane < width(); ++lane) set_coefficients(lane, {});
  }

  const LaneSamples<T>& samples() const { return samples_; }
  std::size_t width() const { return samples_.width(); }

  /// A run's W and what is kept beside it, row-major; empty: zeros, or nothing.
  struct OfRun {
    std::vector<T> weights, remainder;
    std::vector<double> mean, root;
  };
  /// Puts a run into a lane: its data, and where it stands.
  void take_in(std::size_t lane, const AttentionData<T>& data, const RowFactors<T>& factors, const OfRun& run,
               bool wants_gap) {
    samples_.take_in(lane, data, factors, wants_gap);
    products_.take_in(samples_, lane, data);
    put_into_lane(lane, width(), run.weights, now_.weights);
    put_into_lane(lane, width(), run.remainder, now_.remainder);
    put_into_lane(lane, width(), run.mean, now_.mean);
    put_into_lane(lane, width(), run.root, now_.root);
    largest_mean_[lane] = rules::largest_size(run.mean);
    largest_root_[lane] = rules::largest_size(run.root);
    is_taken_[lane] = true;
    is_moving_[lane] = false;
  }
  /// The lane is free.
  void leave(std::size_t lane) {
    samples_.leave(lane);
    is_taken_[lane] = is_moving_[lane] = false;
  }
  /// Where a run stands.
  std::vector<T> weights(std::size_t lane) const { return taken_from_lane(lane, width(), now_.weights); }
  std::vector<T> remainder(std::size_t lane) const { return taken_from_lane(lane, width(), now_.remainder); }
  std::vector<double> mean(std::size_t lane) const { return taken_from_lane(lane, width(), now_.mean); }
  std::vector<double> root(std::size_t lane) const { return taken_from_lane(lane, width(), now_.root); }
  /// The mantissa of its gradient.
  std::vector<T> gradient(std::size_t lane) const { return taken_from_lane(lane, width(), gradient_); }
  /// What would be remembered by the step proposed.
  std::vector<double> next_mean(std::size_t lane) const { return taken_from_lane(lane, width(), next_.mean); }
  std::vector<double> next_root(std::size_t lane) const { return taken_from_lane(lane, width(), next_.root); }

  /// The gradients of all runs.
  void evaluate() {
    products_.project(now_.weights.data(), samples_);
    samples_.attend();
    products_.multiply(samples_, gradient_.data(), squared_.data());
    samples_.find_gaps();
  }
  /// The sum of squares of a run's mantissa.
  double squared(std::size_t lane) const { return squared_[lane]; }

  double largest_mean(std::size_t lane) const { return largest_mean_[lane]; }
  double largest_root(std::size_t lane) const { return largest_root_[lane]; }
  void set_coefficients(std::size_t lane, const LaneCoefficients& of_run) {
    const double values[] = {of_run.step,       of_run.unit,       of_run.unit_again, of_run.keep_mean,
                             of_run.keep_root,  of_run.rescale,    of_run.take_mean,  of_run.take_root,
                             of_run.mean_share, of_run.root_share, of_run.eps};
    for (std::size_t k = 0; k < std::size(by_run_); ++k) (*by_run_[k])[lane] = values[k];
  }
  /// Computes the steps of all runs, and what would be remembered, beside what there is.
  void propose() {
    const simd::RunRuleArgs<T> args{.size = size_,
                                    .gradient = gradient_.data(),
                                    .weights = now_.weights.data(),
                                    .remainder = is_compensated<T> ? now_.remainder.data() : nullptr,
                                    .next_weights = next_.weights.data(),
                                    .next_remainder = next_.remainder.data(),
                                    .step = step_.data(),
                                    .unit = unit_.data(),
                                    .unit_again = unit_again_.data(),
                                    .squared = squared_step_.data(),
                                    .mean = now_.mean.data(),
                                    .root = now_.root.data(),
                                    .next_mean = next_.mean.data(),
                                    .next_root = next_.root.data(),
                                    .keep_mean = keep_mean_.data(),
                                    .keep_root = keep_root_.data(),
                                    .rescale = rescale_.data(),
                                    .take_mean = take_mean_.data(),
                                    .take_root = take_root_.data(),
                                    .mean_share = mean_share_.data(),
                                    .root_share = root_share_.data(),
                                    .eps = eps_.data(),
                                    .largest_mean = largest_mean_.data(),
                                    .largest_root = largest_root_.data()};
    const simd::Kernels<T>& kernels = samples_.kernels();
    const LaneRule rule = samples_.shape().rule;
    (rule == LaneRule::sign   ? kernels.run_sign
     : rule == LaneRule::adam ? kernels.run_adam
                              : kernels.run_momentum)(args);
  }
  /// The sum of squares of a run's direction.
  double squared_step(std::size_t lane) const { return squared_step_[lane]; }

  /// The run's step is to be taken.
  void accept(std::size_t lane) { is_moving_[lane] = true; }
  /// Takes the steps of those, and no others.
  void move() {
    if (std::none_of(is_moving_.begin(), is_moving_.end(), [](bool x) { return x; })) return;
    for (std::size_t lane = 0; lane < width(); ++lane)
      if (is_taken_[lane] && !is_moving_[lane]) stay(lane);
    std::swap(now_, next_);
    is_moving_.assign(width(), false);
  }

 private:
  struct Kept {
    LineArray<T> weights, remainder;
    LineArray<double> mean, root;
  };

  template <class Array>
  void keep(std::size_t lane, const Array& from, Array& to) {
    for (std::size_t k = lane; k < from.size(); k += width()) to[k] = from[k];
  }
  // What a run in a lane has is as it was after the others have moved.
  void stay(std::size_t lane) {
    keep(lane, now_.weights, next_.weights);
    keep(lane, now_.remainder, next_.remainder);
    keep(lane, now_.mean, next_.mean);
    keep(lane, now_.root, next_.root);
  }

  LaneSamples<T> samples_;
  DenseProducts<T> products_;
  const std::size_t size_;
  LineArray<T> gradient_;  // entry (j, k) of every run at (j dim + k) width + lane; so is all that follows
  Kept now_, next_;
  LineArray<double> squared_, squared_step_, largest_mean_, largest_root_;
  LineArray<double> step_, unit_, unit_again_, keep_mean_, keep_root_, rescale_, take_mean_, take_root_,
      mean_share_, root_share_, eps_;
  LineArray<double>* const by_run_[11] = {&step_,       &unit_,       &unit_again_, &keep_mean_,
                                          &keep_root_,  &rescale_,    &take_mean_,  &take_root_,
                                          &mean_share_, &root_share_, &eps_};
  std::vector<bool> is_moving_, is_taken_;
};

}  // namespace softstep
