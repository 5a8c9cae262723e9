#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

#include "softstep/trainer.h"

namespace softstep {

/// When a run's checkpoints are due. Of the steps it goes by their number alone, so that a resumed run has
/// its checkpoints where an uninterrupted one has them.
class CheckpointSchedule {
 public:
  CheckpointSchedule(const TrainerOptions& options, std::int64_t first)
      : every_(options.checkpoint ? options.checkpoint_steps : 0),
        seconds_(options.checkpoint ? options.checkpoint_seconds : std::numeric_limits<double>::infinity()),
        last_(first) {}

  /// Steps that can be taken from `step` on before one of them may be due by its number.
  std::int64_t before_due(std::int64_t step) const {
    return every_ == 0 ? std::numeric_limits<std::int64_t>::max() : every_ - step % every_ - 1;
  }
  /// `looks`: whether the clock is looked at.
  bool due(std::int64_t step, bool looks) const {
    if (every_ != 0 && step % every_ == 0) return true;
    return looks && seconds_ < std::numeric_limits<double>::infinity() &&
           std::chrono::duration<double>(Clock::now() - at_).count() >= seconds_;
  }
  void taken(std::int64_t step) {
    last_ = step;
    at_ = Clock::now();
  }
  /// The step of the last one, or that of the start.
  std::int64_t last() const { return last_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::int64_t every_;
  double seconds_;
  std::int64_t last_;
  Clock::time_point at_ = Clock::now();
};

}  // namespace softstep
