#pragma once

// The arithmetic of runs side by side that move along their gradients: all are in the query span
// (core/trainer/forms/query_span_trajectory.h), with units of 1.

#include <cstddef>
#include <vector>

#include "core/trainer/forms/query_span_trajectory.h"
#include "core/trainer/many/lane_samples.h"

namespace softstep {

template <class T>
class SpanGroup {
 public:
  explicit SpanGroup(const RunShape& shape) : samples_(shape) {
    const std::size_t n = shape.n_samples, size = shape.dim * samples_.columns();
    gram_.assign(n * n * width(), T(0));
    for (auto* rows : {&sum_, &image_}) rows->assign(size, T(0));
    step_.assign(width(), T(0));
    squared_.assign(width(), 0.0);
  }

  const LaneSamples<T>& samples() const { return samples_; }
  std::size_t width() const { return samples_.width(); }

  /// Puts a run into a lane: its data, and where it stands.
  void take_in(std::size_t lane, const AttentionData<T>& data, QuerySpanTrajectory<T>& run, bool wants_gap) {
    const std::size_t n = samples_.shape().n_samples;
    samples_.take_in(lane, data, run.factors(), wants_gap);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < n; ++k) gram_[(i * n + k) * width() + lane] = run.gram(i, k);
    copy_in(lane, run);
  }
  /// The lane is free.
  void leave(std::size_t lane) { samples_.leave(lane); }
  /// Where a run stands, in and out.
  void copy_in(std::size_t lane, QuerySpanTrajectory<T>& run) {
    each(lane, [&](std::size_t here, std::size_t i, std::size_t j) {
      const std::size_t there = run.place(i, j);
      samples_.projected()[here] = run.projected()[there];
      sum_[here] = run.step_sum()[there];
    });
  }
  void copy_out(std::size_t lane, QuerySpanTrajectory<T>& run) const {
    each(lane, [&](std::size_t here, std::size_t i, std::size_t j) {
      const std::size_t there = run.place(i, j);
      run.projected()[there] = samples_.projected()[here];
      run.step_sum()[there] = sum_[here];
    });
  }
  /// The gradient's coefficients, laid out as the run has them.
  std::vector<T> gradient(std::size_t lane, QuerySpanTrajectory<T>& run) const {
    std::vector<T> out(run.step_sum().size(), T(0));
    each(lane, [&](std::size_t here, std::size_t i, std::size_t j) {
      out[run.place(i, j)] = samples_.rows()[here];
    });
    return out;
  }

  /// The gradients of all runs.
  void evaluate() {
    samples_.attend();
    const RunShape& shape = samples_.shape();
    samples_.kernels().run_gram({.n = shape.n_samples,
                                 .dim = shape.dim,
                                 .stride = samples_.columns(),
                                 .gram = gram_.data(),
                                 .rows = samples_.rows(),
                                 .image = image_.data(),
                                 .squared = squared_.data()});
    samples_.find_gaps();
  }
  /// <g, H g> of a run.
  double squared(std::size_t lane) const { return squared_[lane]; }
  /// Steps along gradients need no more than what evaluate() has found.
  void propose() {}

  /// What the run's gradient is multiplied by and added; no step: 0.
  void set_step(std::size_t lane, T step) { step_[lane] = step; }
  /// Takes these steps, and none after them.
  void move() {
    samples_.kernels().run_move({.size = samples_.shape().dim * samples_.columns(),
                                 .step = step_.data(),
                                 .x = samples_.rows(),
                                 .u = image_.data(),
                                 .sum = sum_.data(),
                                 .projected = samples_.projected()});
    step_.assign(width(), T(0));
  }

 private:
  template <class Body>
  void each(std::size_t lane, Body body) const {
    for (std::size_t j = 0; j < samples_.shape().dim; ++j)
      for (std::size_t i = 0; i < samples_.shape().n_samples; ++i)
        body(j * samples_.columns() + samples_.column(i, lane), i, j);
  }

  LaneSamples<T> samples_;
  LineArray<T> gram_;         // as in RunGramArgs
  LineArray<T> sum_, image_;  // what the gradients are added up in, and the change of V by g
  LineArray<T> step_;
  LineArray<double> squared_;
};

}  // namespace softstep
