#pragma once

#include <string>

namespace softstep::program {

/// From now on the first Ctrl-C (SIGINT) or SIGTERM only sets a flag, so that the work ends in an orderly way
/// and its outputs are written. A second signal of the same kind ends the program at once; on a terminal the
/// first one says so.
void catch_interrupts();
bool interrupted();
/// From now on a data file that is truncated while it is read ends the program with a line that names it and
/// exit code 2, and not with SIGBUS.
void catch_truncated_files();
/// 128 + the number of the signal that came.
int interrupt_exit_code();

/// One line of the standard error, rewritten in place. Silent unless that is a terminal, and once
/// interrupted: then it would count work that is not done.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  bool active() const { return active_; }
  void show(const std::string& text);
  void clear();

 private:
  bool active_;
  bool shown_ = false;
};

}  // namespace softstep::program
