#pragma once

namespace softstep::program {

/// From now on the first Ctrl-C (SIGINT) or SIGTERM only sets a flag, so that the work ends in an orderly way
/// and its outputs are written; a second one ends the program at once.
void catch_interrupts();
bool interrupted();
/// 128 + the number of the signal that came.
int interrupt_exit_code();

/// "12/30 runs" on one line of the standard error, rewritten in place; silent unless that is a terminal.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  bool active() const { return active_; }
  void show(const char* text);
  void clear();

 private:
  bool active_;
  bool shown_ = false;
};

}  // namespace softstep::program
