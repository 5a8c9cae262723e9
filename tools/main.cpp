// The program `softstep`: reads the command line, runs one command, and turns every failure into one line on
// the standard error and an exit code.

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "command_line.h"
#include "commands.h"
#include "interrupt.h"
#include "job.h"
#include "library_names.h"
#include "output.h"
#include "softstep/error.h"
#include "softstep/mapped_files.h"

#if defined(__GLIBC__)
#include <execinfo.h>
#endif

namespace {

using namespace softstep::program;

// A thread of OpenMP's ends by pthread_exit, for which the C library opens libgcc_s when it is first called.
// Where memory is short by then, it ends the process. backtrace() has it opened now.
void open_libgcc() {
#if defined(__GLIBC__)
  void* frame = nullptr;
  backtrace(&frame, 1);
#endif
}

// As many open files as the system allows: a set of shards can have more than the 1024 of most shells.
void allow_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // what it says does not matter: files that are too many are an error
}

// Some functions of other libraries allocate though no exception may leave them, and then the process ends
// here. Nothing may be allocated any more.
[[noreturn]] void end_where_exceptions_cannot() noexcept {
  try {
    if (const std::exception_ptr last = std::current_exception()) std::rethrow_exception(last);
  } catch (const std::bad_alloc&) {
    constexpr std::string_view line = "softstep: out of memory: the data do not fit\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
    _exit(exit_bad_input);
  } catch (...) {
  }
  std::abort();
}

// The one line that a failure ends with.
std::string failure;

int fail(const std::string& message) {
  failure = message;
  return exit_bad_input;
}

int run(int argc, char** argv) {
  CommandLine line;
  const Command* chosen = line.read(argc, argv);
  if (chosen == nullptr) return line.wrong().empty() ? exit_success : fail(line.wrong());
  const std::shared_ptr<softstep::Ranks> ranks = ranks_of_job();
  const std::string command = chosen->app->get_name();
  if (ranks != nullptr && ranks->size() > 1 && command != "train" && command != "solve")
    return fail(command + " is the work of one process (train and solve run over MPI)");
  try {
    return chosen->run();
  } catch (const softstep::InvalidArgument& error) {
    return fail(message_of(error, *chosen->app));
  }
}

int run_and_report(int argc, char** argv) {
  try {
    open_libgcc();
    allow_open_files();
    catch_truncated_files();
    const int code = run(argc, argv);
    std::cout.flush();
    if (!std::cout) return fail("standard output: cannot be written");
    for (const std::string& path : softstep::changed_mapped_files())
      return fail(
          path +
          ": was changed while it was in use; the results are of neither its old nor its new contents");
    return output_failed() ? exit_bad_input : code;
  } catch (const std::bad_alloc&) {
    return fail("out of memory: the data do not fit");
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(end_where_exceptions_cannot);
  begin_job();
  const int code = run_and_report(argc, argv);
  return end_job(code, failure);
}
