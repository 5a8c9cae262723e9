#include "interrupt.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "commands.h"
#include "job.h"
#include "softstep/mapped_files.h"

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

void say(const char* text) {
  // Nothing is left to be done where it cannot be said.
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

// Only what a signal handler may call. Outputs that were begun are beside their places and stay there until
// the next run clears them up.
extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
  const char* const path = mapped_file_at(info->si_addr);
  if (path == nullptr) {
    std::signal(signal, SIG_DFL);  // not ours: the read that failed is made again, and ends as it would have
    return;
  }
  say(on_terminal != 0 ? "\r\033[Ksoftstep: " : "softstep: ");
  say(path);
  say(": was truncated, or cannot be read any more, while it was in use\n");
  _exit(exit_bad_input);
}
}  // namespace

void catch_truncated_files() {
  on_terminal = isatty(STDERR_FILENO);
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

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

ProgressLine::ProgressLine() : active_(is_first_rank() && isatty(STDERR_FILENO) != 0) {}
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
