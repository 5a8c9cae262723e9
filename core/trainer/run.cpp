#include "core/trainer/run.h"

#include <algorithm>
#include <limits>

namespace softstep {

Run::Run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds, StepClock& clock)
    : course_(course),
      options_(options),
      step_(step),
      seconds_(seconds),
      schedule_(options.trace_rows_per_decade, step),
      watch_(clock, seconds),
      pending_(options.thresholds),
      seconds_before_(seconds),
      first_(step) {
  // A sum beyond the largest number is as good as that number.
  const std::int64_t left = std::numeric_limits<std::int64_t>::max() - first_;
  end_ = first_ + std::min(options_.n_steps, left);
  summary_.status = TrainStatus::max_iterations;
  find_largest_threshold();
}

bool Run::begin() {
  go_on_ = report();
  return goes_on();
}

bool Run::ready() {
  if (options_.stop.stop_requested()) go_on_ = false;
  if (go_on_ && !watch_.running()) watch_.start();
  return go_on_;
}

bool Run::advance() {
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

bool Run::after_step() {
  if (largest_threshold_ > 0.0 && reached_target()) return false;
  go_on_ = step_ == end_ || !schedule_.due(step_) || report();
  if (go_on_ && progress_.due()) {
    if (is_out_of_time()) return false;
    go_on_ = ask_progress();
  }
  return goes_on();
}

TrainSummary Run::end() {
  watch_.pause();
  if (!go_on_) summary_.status = TrainStatus::interrupted;
  seconds_ = watch_.seconds();
  if (step_ != summary_.last.step) report();
  summary_.steps = step_ - first_;
  summary_.seconds = seconds_ - seconds_before_;
  return summary_;
}

void Run::abandon() {
  watch_.pause();
  seconds_ = watch_.seconds();
  course_.write_state();
}

bool Run::is_out_of_time() {
  if (watch_.seconds() - seconds_before_ < options_.max_seconds) return false;
  summary_.status = TrainStatus::out_of_time;
  return true;
}

bool Run::ask_progress() {
  if (!options_.progress) return true;
  watch_.pause();
  return options_.progress({step_, watch_.seconds(), [this] { course_.write_state(); }});
}

void Run::find_largest_threshold() {
  largest_threshold_ = options_.stop_one_minus_cos;
  for (const double threshold : pending_) largest_threshold_ = std::max(largest_threshold_, threshold);
}

bool Run::direction_at_most(double threshold) {
  if (course_.surely_above(threshold)) return false;
  watch_.pause();
  return course_.direction_at_most(threshold);
}

// Notes thresholds crossed; true if the run is to stop here.
bool Run::reached_target() {
  course_.moved(step_length_);
  if (course_.surely_above(largest_threshold_)) return false;
  const auto crossed = [&](double threshold) {
    if (!direction_at_most(threshold)) return false;
    summary_.time_to.push_back({threshold, step_, watch_.seconds()});
    return true;
  };
  if (std::erase_if(pending_, crossed) > 0) find_largest_threshold();
  if (!(options_.stop_one_minus_cos > 0.0) || !direction_at_most(options_.stop_one_minus_cos)) return false;
  summary_.status = TrainStatus::converged;
  return true;
}

// Measures the current weights into summary_.last and hands the row out.
bool Run::report() {
  watch_.pause();
  TraceRecord& row = summary_.last;
  row = {};
  course_.measure(row);
  row.step = step_;
  row.step_length = step_length_;
  row.seconds = watch_.seconds();
  return !options_.trace || options_.trace(row);
}

TrainSummary run(Course& course, const TrainerOptions& options, std::int64_t& step, double& seconds) {
  ThreadClock clock;
  Run steps(course, options, step, seconds, clock);
  try {
    for (bool go_on = steps.begin(); go_on;) go_on = steps.ready() && steps.advance() && steps.after_step();
    return steps.end();
  } catch (...) {
    steps.abandon();
    throw;
  }
}

}  // namespace softstep
