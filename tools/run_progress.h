#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "interrupt.h"

namespace softstep::program {

/// "compare: 12 of 30 runs, 41 % of the steps" on the progress line, told by the threads that make the runs.
/// An interrupted command counts no further.
class RunProgress {
 public:
  /// All runs take `steps_of_a_run` steps, unless they end early.
  RunProgress(std::string command, std::size_t n_runs, std::int64_t steps_of_a_run);

  /// One run: how far it has come.
  class Run {
   public:
    explicit Run(RunProgress& progress) : progress_(progress) {}
    void at_step(std::int64_t step);
    /// The run is over, be it before its last step.
    void finish();

   private:
    RunProgress& progress_;
    std::int64_t counted_ = 0;
  };

 private:
  void add(std::int64_t n_steps, std::size_t n_runs);

  ProgressLine line_;
  std::mutex mutex_;
  std::string command_;
  std::size_t n_runs_, n_done_ = 0;
  std::int64_t steps_of_a_run_;
  double steps_done_ = 0.0;
  std::chrono::steady_clock::time_point shown_{};
};

}  // namespace softstep::program
