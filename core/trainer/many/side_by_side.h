#pragma once

// One thread's runs side by side: each has the loop of a run to itself, in lock step with the others.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "core/models/attention/attention_parts.h"
#include "core/trainer/block_course.h"
#include "core/trainer/many/lane_trajectory.h"
#include "core/trainer/run.h"
#include "softstep/train_many.h"

namespace softstep {

template <class T>
const AttentionData<T>& attention_data_of(const Model<T>& model) {
  return dynamic_cast<const AttentionModel<T>&>(model).parts().data;
}

template <class T>
class SideBySide {
 public:
  /// `n_lanes`: at most so many runs at a time, of those that a vector holds.
  SideBySide(const RunShape& shape, std::size_t n_lanes, SharedClock& clock)
      : group_(shape), clock_(clock), lanes_(std::min(n_lanes, group_.size())) {}

  const RunShape& shape() const { return group_.shape(); }
  bool is_empty() const { return n_runs() == 0; }
  bool has_room() const { return n_runs() < lanes_.size(); }

  /// Takes in a run that is checked, of this shape. There must be room.
  void take_in(std::size_t index, const ManyRun<T>& run) {
    std::size_t lane = 0;
    while (lanes_[lane] != nullptr) ++lane;
    lanes_[lane] = std::make_unique<Lane>(index, run, group_, lane, clock_);
  }

  /// The first look at every run that has been taken in, or a step of every other; done(index, summary) for
  /// those that are over.
  template <class Done>
  void advance(Done done) {
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->get_ready()) finish(lane, done);
    const std::size_t n = n_runs();
    if (n == 0) return;
    clock_.go(n);
    group_.evaluate();
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->run.advance()) finish(lane, done);
    move();
    for (auto& lane : lanes_)
      if (lane != nullptr && !lane->run.after_step()) finish(lane, done);
  }
  /// Leaves the states as of the steps reached, whatever has been thrown where.
  void abandon() {
    move();
    for (auto& lane : lanes_)
      if (lane != nullptr) lane->run.abandon();
  }

 private:
  struct Lane {
    Lane(std::size_t run_index, const ManyRun<T>& made, RunGroup<T>& group, std::size_t lane,
         StepClock& clock)
        : started(std::chrono::steady_clock::now()),
          index(run_index),
          own(std::make_unique<LaneTrajectory<T>>(
              attention_data_of(*made.model), *made.state, group, lane,
              make_step_rule<T>(made.options->rules[0])->needs_loss_gap())),
          trajectory(*own),
          course(*made.model, *made.state, *made.options, std::move(own)),
          setup_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()),
          run(course, *made.options, made.state->step, made.state->seconds, clock) {}

    // Begins where it has not, and whether there is a step to take.
    bool get_ready() {
      if (!std::exchange(has_begun, true) && !run.begin()) return false;
      return run.ready();
    }

    const std::chrono::steady_clock::time_point started;
    const std::size_t index;
    std::unique_ptr<LaneTrajectory<T>> own;  // until the course has it
    LaneTrajectory<T>& trajectory;
    BlockCourse<T> course;
    const double setup_seconds;
    Run run;
    bool has_begun = false;
  };

  void move() {
    group_.move();
    for (auto& lane : lanes_)
      if (lane != nullptr) lane->trajectory.settle();
  }
  std::size_t n_runs() const {
    std::size_t n = 0;
    for (const auto& lane : lanes_) n += lane != nullptr ? 1 : 0;
    return n;
  }
  template <class Done>
  void finish(std::unique_ptr<Lane>& lane, Done done) {
    TrainSummary summary = lane->run.end();
    summary.form = lane->course.trajectory().form();
    summary.threads_used = lane->course.trajectory().n_threads();
    summary.setup_seconds = lane->setup_seconds;
    const std::size_t index = lane->index;
    lane.reset();
    done(index, summary);
  }

  RunGroup<T> group_;
  SharedClock& clock_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace softstep
