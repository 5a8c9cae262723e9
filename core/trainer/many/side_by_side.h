#pragma once

// One thread's runs side by side: each has the loop of a run to itself, in lock step with the others.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/trainer/block_course.h"
#include "core/trainer/many/dense_lane.h"
#include "core/trainer/many/joint_lane.h"
#include "core/trainer/many/span_lane.h"
#include "core/trainer/run.h"
#include "softstep/train_many.h"

namespace softstep {

template <class T>
class SideBySide {
 public:
  /// Called for runs that are over.
  using Done = std::function<void(std::size_t index, const TrainSummary&)>;

  virtual ~SideBySide() = default;
  virtual const RunShape& shape() const = 0;
  virtual bool is_empty() const = 0;
  virtual bool has_room() const = 0;
  /// Takes in a run that is checked, of this shape. There must be room.
  virtual void take_in(std::size_t index, const ManyRun<T>& run) = 0;
  /// The first look at every run that has been taken in, or a step of every other.
  virtual void advance(const Done& done) = 0;
  /// Leaves the states as of the steps reached, whatever has been thrown where.
  virtual void abandon() = 0;
};

/// `Path`: the trajectory of a run in a lane of a Path::Group.
template <class T, class Path>
class SideBySideOf final : public SideBySide<T> {
 public:
  using Done = typename SideBySide<T>::Done;

  /// `n_lanes`: at most so many runs at a time, of those that a vector holds.
  SideBySideOf(const RunShape& shape, std::size_t n_lanes, SharedClock& clock)
      : group_(shape), clock_(clock), lanes_(std::min(n_lanes, group_.width())) {}

  const RunShape& shape() const override { return group_.samples().shape(); }
  bool is_empty() const override { return n_runs_ == 0; }
  bool has_room() const override { return n_runs_ < lanes_.size(); }

  void take_in(std::size_t index, const ManyRun<T>& run) override {
    std::size_t lane = 0;
    while (lanes_[lane] != nullptr) ++lane;
    lanes_[lane] = std::make_unique<Lane>(index, run, group_, lane, clock_);
    ++n_runs_;
  }

  void advance(const Done& done) override {
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->get_ready()) finish(lane, done);
    if (n_runs_ == 0) return;
    clock_.go(n_runs_);
    group_.evaluate();
    for (auto& lane : lanes_)
      if (lane != nullptr) lane->course.trajectory().prepare(lane->step);
    group_.propose();
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->advance()) finish(lane, done);
    move();
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->after_step()) finish(lane, done);
  }
  void abandon() override {
    move();
    for (auto& lane : lanes_)
      if (lane != nullptr) lane->run.abandon();
  }

 private:
  struct Lane {
    Lane(std::size_t run_index, const ManyRun<T>& made, typename Path::Group& group, std::size_t lane,
         StepClock& clock)
        : started(std::chrono::steady_clock::now()),
          index(run_index),
          course(*made.model, *made.state, *made.options,
                 std::make_unique<Path>(*made.model, *made.state, *made.options, group, lane)),
          setup_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()),
          run(course, *made.options, made.state->step, made.state->seconds, clock),
          step(made.state->step),
          may_be_quiet(course.is_quiet()) {}

    // Begins where it has not, and whether there is a step to take.
    bool get_ready() {
      if (!std::exchange(has_begun, true) && !run.begin()) return false;
      return run.ready();
    }
    // Most steps are quiet: nothing is to be done for this run alone.
    bool advance() {
      if (n_quiet > 0) {
        if (const std::optional<double> length = course.advance_quietly(step)) {
          --n_quiet;
          is_quiet = run.quiet_step(*length);
          return true;
        }
      }
      is_quiet = false;
      return run.advance();
    }
    bool after_step() {
      if (is_quiet) return true;
      if (!run.after_step()) return false;
      n_quiet = may_be_quiet ? std::min(run.n_quiet(), course.trajectory().n_quiet(step)) : 0;
      return true;
    }

    const std::chrono::steady_clock::time_point started;
    const std::size_t index;
    BlockCourse<T, Path> course;
    const double setup_seconds;
    Run<BlockCourse<T, Path>> run;
    const std::int64_t& step;
    const bool may_be_quiet;
    std::int64_t n_quiet = 0;  // steps that may yet be
    bool has_begun = false, is_quiet = false;
  };

  void move() {
    group_.move();
    for (auto& lane : lanes_)
      if (lane != nullptr) lane->course.trajectory().settle();
  }
  void finish(std::unique_ptr<Lane>& lane, const Done& done) {
    TrainSummary summary = lane->run.end();
    summary.form = lane->course.trajectory().form();
    summary.threads_used = lane->course.trajectory().n_threads();
    summary.setup_seconds = lane->setup_seconds;
    const std::size_t index = lane->index;
    lane.reset();
    --n_runs_;
    done(index, summary);
  }

  typename Path::Group group_;
  SharedClock& clock_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::size_t n_runs_ = 0;
};

template <class T>
std::unique_ptr<SideBySide<T>> make_side_by_side(const RunShape& shape, std::size_t n_lanes,
                                                 SharedClock& clock) {
  if (shape.rule == LaneRule::along_gradient)
    return std::make_unique<SideBySideOf<T, SpanLane<T>>>(shape, n_lanes, clock);
  if (shape.rule == LaneRule::joint)
    return std::make_unique<SideBySideOf<T, JointLane<T>>>(shape, n_lanes, clock);
  return std::make_unique<SideBySideOf<T, DenseLane<T>>>(shape, n_lanes, clock);
}

}  // namespace softstep
