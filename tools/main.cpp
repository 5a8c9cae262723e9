// The program `softstep`: reads the command line, runs one command, and turns every failure into one line on
// the standard error and an exit code.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "command_line_errors.h"
#include "commands.h"
#include "interrupt.h"
#include "job.h"
#include "library_names.h"
#include "options.h"
#include "output.h"
#include "softstep/error.h"
#include "softstep/mapped_files.h"
#include "softstep/version.h"

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

// The one line that a failure ends with.
std::string failure;

int fail(const std::string& message) {
  failure = message;
  return exit_bad_input;
}

std::string exit_codes(const Command& command) {
  const std::string ending = command.bad_ending == nullptr ? "" : fmt::format("1 {}; ", command.bad_ending);
  return fmt::format(
      "Exit codes: 0 done; {}2 bad input, or an output that cannot be written; 130 or 143 interrupted.",
      ending);
}

// `softstep help` and `softstep help COMMAND`: what --help prints.
int print_help(const CLI::App& app, const std::string& name, const std::vector<Command>& commands) {
  if (name.empty()) {
    // App::help() would give the help of the command that was parsed, which is `help` itself.
    std::cout << app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal);
    return exit_success;
  }
  for (const Command& command : commands)
    if (command.app->get_name() == name) {
      std::cout << command.app->help(app.get_name());
      return exit_success;
    }
  return fail("help: " + unknown_command(name, commands));
}

int run(int argc, char** argv) {
  CLI::App app{"Softmax attention trained to the end: directions, margins and gaps that stay true.",
               "softstep"};
  app.set_version_flag("--version", std::string("softstep ") + softstep::version);
  app.set_help_flag("-h,--help", "Print this and stop");
  app.require_subcommand(
      0, 1);  // so that the name of a command after `help` is a topic, and not a second command
  app.footer(
      "Step rules:\n" + rule_table() +
      "\n"
      "Examples:\n"
      "  softstep compare --generator signal_noise --samples 10 --tokens 6 --dim 60 \\\n"
      "      --rules \"gd:step-size=20;ngd:step-size=1;polyak\" --steps 10000 --seeds 10 --out demo\n"
      "  softstep report demo\n"
      "  softstep generate --generator signal_noise --samples 10 --tokens 6 --dim 60 --out data.safetensors\n"
      "  softstep train --data data.safetensors --rule ngd --step-size 1 --steps 10000 --trace trace.csv\n"
      "\n"
      "`softstep help COMMAND` explains one command.\n"
      "Exit codes: 0 done; 1 the work ended badly, and the output says how (not_separable, not_finite, "
      "...);\n"
      "2 bad input, or an output that cannot be written: one line says which; 130 or 143 interrupted.");

  std::vector<Command> commands = {add_info(app),    add_generate(app), add_solve(app),     add_train(app),
                                   add_compare(app), add_sweep(app),    add_reproduce(app), add_fit(app),
                                   add_report(app),  add_check(app)};
  for (const Command& command : commands)
    command.app->footer(command.app->get_footer() + "\n" + exit_codes(command));
  std::string topic;
  CLI::App* help = app.add_subcommand("help", "Explain the program, or one command");
  help->add_option("COMMAND", topic, "The command to explain")->type_name("NAME");
  commands.push_back({help, [&] { return print_help(app, topic, commands); }});
  for (const Command& command : commands) command.app->set_help_flag("-h,--help", "Print this and stop");

  if (argc < 2) return fail(no_command(commands));
  const Command* chosen = nullptr;
  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
      return fail(explain(error, app, commands));
    }
    for (const Command& command : commands)
      if (command.app->parsed()) chosen = &command;
    const std::shared_ptr<softstep::Ranks> ranks = ranks_of_job();
    if (chosen != nullptr && ranks != nullptr && ranks->size() > 1 && chosen->app->get_name() != "train")
      return fail(chosen->app->get_name() + " is the work of one process (train runs over MPI)");
    return chosen == nullptr ? fail(no_command(commands)) : chosen->run();
  } catch (const softstep::InvalidArgument& error) {
    return fail(chosen == nullptr ? error.what() : message_of(error, *chosen->app));
  }
}

int run_and_report(int argc, char** argv) {
  try {
    open_libgcc();
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
  begin_job();
  const int code = run_and_report(argc, argv);
  return end_job(code, failure);
}
