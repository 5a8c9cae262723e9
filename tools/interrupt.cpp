#include "interrupt.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <initializer_list>

namespace softstep::program {

namespace {
volatile std::sig_atomic_t received = 0, on_terminal = 0;

// write() is among the few calls that a signal handler may make.
extern "C" void on_signal(int signal) {
  static const char text[] = "\r\033[Ksoftstep: stopping in order; the same signal again ends it at once\n";
  const int before = errno;
  received = signal;
  if (on_terminal == 0 || write(STDERR_FILENO, text, sizeof text - 1) >= 0) errno = before;
}
}  // namespace

void catch_interrupts() {
  on_terminal = isatty(STDERR_FILENO);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) {
    // A signal ignored by whoever started us (nohup, a background job) stays ignored.
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

bool interrupted() { return received != 0; }
int interrupt_exit_code() { return 128 + received; }

ProgressLine::ProgressLine() : active_(isatty(STDERR_FILENO) != 0) {}
ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::show(const std::string& text) {
  if (!active_ || interrupted()) return;
  std::fprintf(stderr, "\r%s\033[K", text.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_ && !interrupted()) std::fprintf(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace softstep::program
