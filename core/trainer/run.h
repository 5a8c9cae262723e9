#pragma once

// The loop of a run, and what it needs of what is trained.

#include <cstdint>
#include <optional>
#include <vector>

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
class Run {
 public:
  /// options.n_steps steps from `step`, `seconds` on. What is given by reference outlives the run.
  Run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds, StepClock& clock);

  /// Measures the start. Whether there are steps to take.
  bool begin();
  /// Whether the next step may be taken.
  bool ready();
  /// Whether it was.
  bool advance();
  /// Whether there is another, once the step has reached the weights.
  bool after_step();
  /// What the run did.
  TrainSummary end();
  /// Writes the weights reached to the state.
  void abandon();

 private:
  bool goes_on() const { return go_on_ && step_ < end_; }
  bool is_out_of_time();
  bool ask_progress();
  void find_largest_threshold();
  bool direction_at_most(double threshold);
  bool reached_target();
  bool report();

  Course& course_;
  const TrainerOptions& options_;
  std::int64_t& step_;
  double& seconds_;
  TraceSchedule schedule_;
  Stopwatch watch_;
  ProgressTimer progress_;
  std::vector<double> pending_;     // thresholds not reached yet
  double largest_threshold_ = 0.0;  // of these and the one to stop at; 0: none
  TrainSummary summary_;
  double step_length_ = 0.0, seconds_before_ = 0.0;
  const std::int64_t first_;
  std::int64_t end_ = 0;
  bool go_on_ = true;
};

/// A run on a thread of its own. Whatever a callback throws leaves it, after the weights reached have been
/// written to the state.
TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds);

}  // namespace softstep
