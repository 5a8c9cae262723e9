#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/trainer/run.h"
#include "core/trainer/trace_schedule.h"

namespace softstep {
namespace {

using Clock = std::chrono::steady_clock;

/// Time spent in steps; stopped while the trainer measures or reports.
class Stopwatch {
 public:
  explicit Stopwatch(double seconds) : seconds_(seconds) {}
  void start() {
    started_ = Clock::now();
    running_ = true;
  }
  void pause() {
    seconds_ = seconds();
    running_ = false;
  }
  bool running() const { return running_; }
  double seconds() const {
    return running_ ? seconds_ + std::chrono::duration<double>(Clock::now() - started_).count() : seconds_;
  }

 private:
  double seconds_;
  bool running_ = false;
  Clock::time_point started_;
};

/// Asks options.progress about ten times a second, whatever a step costs, without reading the clock at every
/// step.
class ProgressTimer {
 public:
  bool due() {
    if (--countdown_ > 0) return false;
    const auto now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    stride_ = elapsed < 0.05 ? stride_ * 2 : (elapsed > 0.1 && stride_ > 1 ? stride_ / 2 : stride_);
    countdown_ = stride_;
    if (elapsed < 0.05) return false;
    last_ = now;
    return true;
  }

 private:
  std::int64_t stride_ = 1, countdown_ = 1;
  Clock::time_point last_ = Clock::now();
};

/// Takes the steps, notes what is asked for, and says how it ended.
class Run {
 public:
  Run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds)
      : course_(course),
        options_(options),
        step_(step),
        seconds_(seconds),
        schedule_(options.trace_rows_per_decade, step),
        watch_(seconds),
        pending_(options.thresholds) {}

  TrainSummary operator()() {
    seconds_before_ = seconds_;
    const std::int64_t first = step_;
    // A sum beyond the largest number is as good as that number.
    const std::int64_t left = std::numeric_limits<std::int64_t>::max() - first;
    const std::int64_t end = first + std::min(options_.n_steps, left);
    summary_.status = TrainStatus::max_iterations;
    try {
      take_steps(end);
    } catch (...) {
      watch_.pause();
      seconds_ = watch_.seconds();
      course_.write_state();
      throw;
    }
    summary_.steps = step_ - first;
    summary_.seconds = seconds_ - seconds_before_;
    return summary_;
  }

 private:
  void take_steps(std::int64_t end) {
    bool go_on = report();
    while (go_on && step_ < end) {
      if (options_.stop.stop_requested()) {
        go_on = false;
        break;
      }
      if (!advance()) break;
      if (watching() && reached_target()) break;
      go_on = step_ == end || !schedule_.due(step_) || report();
      if (go_on && progress_.due()) {
        if (is_out_of_time()) break;
        go_on = ask_progress();
      }
    }
    watch_.pause();
    if (!go_on) summary_.status = TrainStatus::interrupted;
    seconds_ = watch_.seconds();
    if (step_ != summary_.last.step) report();
  }

  bool is_out_of_time() {
    if (watch_.seconds() - seconds_before_ < options_.max_seconds) return false;
    summary_.status = TrainStatus::out_of_time;
    return true;
  }

  bool ask_progress() {
    if (!options_.progress) return true;
    watch_.pause();
    return options_.progress({step_, watch_.seconds(), [this] { course_.write_state(); }});
  }

  bool watching() const { return !pending_.empty() || options_.stop_one_minus_cos > 0.0; }

  bool direction_at_most(double threshold) {
    if (course_.surely_above(threshold)) return false;
    watch_.pause();
    return course_.direction_at_most(threshold);
  }

  // One step; false (with the reason in the summary) if it cannot be taken.
  bool advance() {
    if (!watch_.running()) watch_.start();
    const Course::Advance taken = course_.advance(step_);
    if (taken.refused) {
      summary_.status = *taken.refused;
      return false;
    }
    ++step_;
    step_length_ = taken.length;
    if (taken.is_below_rounding) ++summary_.steps_below_rounding;
    return true;
  }

  // Notes thresholds crossed; true if the run is to stop here.
  bool reached_target() {
    course_.moved(step_length_);
    const auto crossed = [&](double threshold) {
      if (!direction_at_most(threshold)) return false;
      summary_.time_to.push_back({threshold, step_, watch_.seconds()});
      return true;
    };
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(), crossed), pending_.end());
    if (!(options_.stop_one_minus_cos > 0.0) || !direction_at_most(options_.stop_one_minus_cos)) return false;
    summary_.status = TrainStatus::converged;
    return true;
  }

  // Measures the current weights into summary_.last and hands the row out.
  bool report() {
    watch_.pause();
    TraceRecord& row = summary_.last;
    row = {};
    course_.measure(row);
    row.step = step_;
    row.step_length = step_length_;
    row.seconds = watch_.seconds();
    return !options_.trace || options_.trace(row);
  }

  Course& course_;
  const TrainerOptions& options_;
  std::int64_t& step_;
  double& seconds_;
  TraceSchedule schedule_;
  Stopwatch watch_;
  ProgressTimer progress_;
  std::vector<double> pending_;
  TrainSummary summary_;
  double step_length_ = 0.0, seconds_before_ = 0.0;
};

}  // namespace

TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds) {
  return Run(course, options, step, seconds)();
}

}  // namespace softstep
