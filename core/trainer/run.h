#pragma once

// The loop of a run, and what it needs of what is trained.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "core/trainer/checkpoint_schedule.h"
#include "core/trainer/step_clock.h"
#include "core/trainer/trace_schedule.h"
#include "softstep/trainer.h"

namespace softstep {

class Course {
 public:
  struct Advance {
    std::optional<TrainStatus> refused = {};  ///< how the run ends, if the step was not taken
    double length = 0.0;                      ///< of the step
    bool is_below_rounding = false;           ///< it was shorter than the rounding of the weights
  };
  virtual ~Course() = default;
  /// Takes one step, or says why not and changes nothing.
  virtual Advance advance(std::int64_t iteration) = 0;
  /// Fills in all that is said of the current weights, and writes them to the state.
  virtual void measure(TraceRecord& row) = 0;
  /// Writes the current weights to the state.
  virtual void write_state() = 0;
  /// The watched direction: it has moved by this much since; whether 1 - cos cannot have come down to a
  /// threshold, which then holds of smaller ones too; whether it has.
  virtual void moved(double length) = 0;
  virtual bool surely_above(double threshold) const = 0;
  virtual bool direction_at_most(double threshold) = 0;
};

/// Takes the steps, notes what is asked for, and says how it ended. Its parts are apart so that several runs
/// can go side by side: begin(), then ready(), advance() and after_step() for every step, while they return
/// true, then end(). Whatever a callback throws leaves them; abandon() then leaves the state as it should be.
/// `C`: a Course, or one whose functions are known to the compiler.
template <class C>
class Run {
 public:
  /// options.n_steps steps from `step`, `seconds` on. What is given by reference outlives the run.
  Run(C& course, const TrainerOptions& options, std::int64_t& step, double& seconds, StepClock& clock);

  /// Measures the start. Whether there are steps to take.
  bool begin();
  /// Whether the next step may be taken.
  bool ready();
  /// Whether it was.
  bool advance();
  /// Whether there is another, once the step has reached the weights.
  bool after_step();
  /// How many steps can be taken before there is anything to do but that; for each of them quiet_step(length)
  /// stands for advance() and, where it returns true, for after_step().
  std::int64_t n_quiet() const;
  bool quiet_step(double length);
  /// What the run did.
  TrainSummary end();
  /// Writes the weights reached to the state.
  void abandon();

 private:
  bool goes_on() const { return go_on_ && step_ < end_; }
  bool is_out_of_time();
  bool ask_progress();
  Progress progress_now();
  void checkpoint();
  void find_largest_threshold();
  void note_step(double length);
  bool direction_at_most(double threshold);
  bool reached_target();
  bool has_converged();
  bool report();

  C& course_;
  const TrainerOptions& options_;
  std::int64_t& step_;
  double& seconds_;
  TraceSchedule schedule_;
  Stopwatch watch_;
  ProgressTimer progress_;
  CheckpointSchedule checkpoints_;
  std::vector<double> pending_;     // thresholds not reached yet
  double largest_threshold_ = 0.0;  // of these and the one to stop at; 0: none
  TrainSummary summary_;
  double step_length_ = 0.0, seconds_before_ = 0.0;
  const std::int64_t first_;
  std::int64_t end_ = 0;
  bool go_on_ = true;
};

template <class C>
Run<C>::Run(C& course, const TrainerOptions& options, std::int64_t& step, double& seconds, StepClock& clock)
    : course_(course),
      options_(options),
      step_(step),
      seconds_(seconds),
      schedule_(options.trace_rows_per_decade, step),
      watch_(clock, seconds),
      checkpoints_(options, step),
      pending_(options.thresholds),
      seconds_before_(seconds),
      first_(step) {
  // A sum beyond the largest number is as good as that number.
  const std::int64_t left = std::numeric_limits<std::int64_t>::max() - first_;
  end_ = first_ + std::min(options_.n_steps, left);
  summary_.status = TrainStatus::max_iterations;
  find_largest_threshold();
}

template <class C>
bool Run<C>::begin() {
  go_on_ = report();
  // Taken up where it had come to its end: a step more would be one that a run in one go does not take.
  return !(go_on_ && first_ > 0 && has_converged()) && goes_on();
}

template <class C>
bool Run<C>::ready() {
  if (options_.stop.stop_requested()) go_on_ = false;
  if (go_on_ && !watch_.running()) watch_.start();
  return go_on_;
}

template <class C>
bool Run<C>::advance() {
  const Course::Advance taken = course_.advance(step_);
  if (taken.refused) {
    summary_.status = *taken.refused;
    return false;
  }
  note_step(taken.length);
  if (taken.is_below_rounding) ++summary_.steps_below_rounding;
  return true;
}

template <class C>
bool Run<C>::after_step() {
  if (largest_threshold_ > 0.0 && reached_target()) return false;
  go_on_ = step_ == end_ || !schedule_.due(step_) || report();
  const bool is_asked = go_on_ && progress_.due();
  if (go_on_ && step_ != end_ && checkpoints_.due(step_, is_asked)) checkpoint();
  if (is_asked) {
    if (is_out_of_time()) return false;
    go_on_ = ask_progress();
  }
  return goes_on();
}

template <class C>
void Run<C>::note_step(double length) {
  ++step_;
  step_length_ = length;
  if (largest_threshold_ > 0.0) course_.moved(length);
}

template <class C>
std::int64_t Run<C>::n_quiet() const {
  return std::min({end_ - step_ - 1, schedule_.next() - step_ - 1, progress_.before_due(),
                   checkpoints_.before_due(step_)});
}

template <class C>
bool Run<C>::quiet_step(double length) {
  note_step(length);
  if (largest_threshold_ > 0.0 && !course_.surely_above(largest_threshold_)) return false;
  progress_.due();
  return true;
}

template <class C>
TrainSummary Run<C>::end() {
  watch_.pause();
  if (!go_on_) summary_.status = TrainStatus::interrupted;
  seconds_ = watch_.seconds();
  if (step_ != summary_.last.step) report();
  if (options_.checkpoint && step_ != checkpoints_.last()) checkpoint();
  summary_.steps = step_ - first_;
  summary_.seconds = seconds_ - seconds_before_;
  return summary_;
}

template <class C>
void Run<C>::abandon() {
  watch_.pause();
  seconds_ = watch_.seconds();
  course_.write_state();
}

template <class C>
bool Run<C>::is_out_of_time() {
  if (watch_.seconds() - seconds_before_ < options_.max_seconds) return false;
  summary_.status = TrainStatus::out_of_time;
  return true;
}

template <class C>
bool Run<C>::ask_progress() {
  if (!options_.progress) return true;
  watch_.pause();
  return options_.progress(progress_now());
}

template <class C>
Progress Run<C>::progress_now() {
  return {step_, watch_.seconds(), [this] { course_.write_state(); }};
}

template <class C>
void Run<C>::checkpoint() {
  watch_.pause();
  seconds_ = watch_.seconds();
  course_.write_state();
  checkpoints_.taken(step_);
  options_.checkpoint(progress_now());
}

template <class C>
void Run<C>::find_largest_threshold() {
  largest_threshold_ = options_.stop_one_minus_cos;
  for (const double threshold : pending_) largest_threshold_ = std::max(largest_threshold_, threshold);
}

template <class C>
bool Run<C>::direction_at_most(double threshold) {
  if (course_.surely_above(threshold)) return false;
  watch_.pause();
  return course_.direction_at_most(threshold);
}

// Notes thresholds crossed; true if the run is to stop here.
template <class C>
bool Run<C>::reached_target() {
  if (course_.surely_above(largest_threshold_)) return false;
  const auto crossed = [&](double threshold) {
    if (!direction_at_most(threshold)) return false;
    summary_.time_to.push_back({threshold, step_, watch_.seconds()});
    return true;
  };
  if (std::erase_if(pending_, crossed) > 0) find_largest_threshold();
  return has_converged();
}

template <class C>
bool Run<C>::has_converged() {
  if (!(options_.stop_one_minus_cos > 0.0) || !direction_at_most(options_.stop_one_minus_cos)) return false;
  summary_.status = TrainStatus::converged;
  return true;
}

// Measures the current weights into summary_.last and hands the row out.
template <class C>
bool Run<C>::report() {
  watch_.pause();
  TraceRecord& row = summary_.last;
  row = {};
  course_.measure(row);
  row.step = step_;
  row.step_length = step_length_;
  row.seconds = watch_.seconds();
  return !options_.trace || options_.trace(row);
}

/// A run on a thread of its own. Whatever a callback throws leaves it, after the weights reached have been
/// written to the state.
TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds);

}  // namespace softstep
