#include "run_progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace softstep::program {

RunProgress::RunProgress(std::string command, std::size_t n_runs, std::int64_t steps_of_a_run)
    : command_(std::move(command)), n_runs_(n_runs), steps_of_a_run_(steps_of_a_run) {
  add(0, 0);
}

void RunProgress::add(std::int64_t n_steps, std::size_t n_runs) {
  if (!line_.active() || interrupted()) return;
  const std::lock_guard lock(mutex_);
  steps_done_ += static_cast<double>(n_steps);
  n_done_ += n_runs;
  const auto now = std::chrono::steady_clock::now();
  if (now - shown_ < std::chrono::milliseconds(100) && n_done_ < n_runs_) return;
  shown_ = now;
  const double share = steps_done_ / (static_cast<double>(steps_of_a_run_) * static_cast<double>(n_runs_));
  line_.show(
      fmt::format("{}: {} of {} runs, {:.0f} % of the steps", command_, n_done_, n_runs_, 100.0 * share));
}

void RunProgress::Run::at_step(std::int64_t step) {
  progress_.add(step - counted_, 0);
  counted_ = step;
}

void RunProgress::Run::finish() { progress_.add(progress_.steps_of_a_run_ - counted_, 1); }

}  // namespace softstep::program
