#pragma once

// The time that a run spends in its steps.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace softstep {

/// What a run's steps are timed by.
class StepClock {
 public:
  virtual ~StepClock() = default;
  virtual double now() = 0;  ///< seconds
  /// A run begins to measure or to report: whatever else is timed by this clock does not pay for that.
  virtual void hold() {}
};

/// A thread with one run.
class ThreadClock final : public StepClock {
 public:
  double now() override { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
};

/// A thread with several runs side by side: each of them takes its share of the time.
class SharedClock final : public StepClock {
 public:
  double now() override {
    return running_ ? seconds_ + std::chrono::duration<double>(Clock::now() - started_).count() / n_runs_
                    : seconds_;
  }
  void hold() override {
    seconds_ = now();
    running_ = false;
  }
  /// Goes on, for so many runs.
  void go(std::size_t n_runs) {
    const auto n = static_cast<double>(n_runs);
    if (running_ && n == n_runs_) return;
    hold();
    n_runs_ = n;
    started_ = Clock::now();
    running_ = true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_ = 0.0, n_runs_ = 1.0;
  bool running_ = false;
  Clock::time_point started_;
};

/// Time of one run; stopped while the trainer measures or reports.
class Stopwatch {
 public:
  Stopwatch(StepClock& clock, double seconds) : clock_(clock), seconds_(seconds) {}
  void start() {
    started_ = clock_.now();
    running_ = true;
  }
  void pause() {
    seconds_ = seconds();
    running_ = false;
    clock_.hold();
  }
  bool running() const { return running_; }
  double seconds() const { return running_ ? seconds_ + (clock_.now() - started_) : seconds_; }

 private:
  StepClock& clock_;
  double seconds_, started_ = 0.0;
  bool running_ = false;
};

/// Due about ten times a second, whatever a step costs, without reading the clock at every step.
class ProgressTimer {
 public:
  /// How often it can be asked before it is due.
  std::int64_t before_due() const { return countdown_ - 1; }
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
  using Clock = std::chrono::steady_clock;
  std::int64_t stride_ = 1, countdown_ = 1;
  Clock::time_point last_ = Clock::now();
};

}  // namespace softstep
