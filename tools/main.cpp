// The program `softstep`: reads the command line, runs one command, and turns every failure into one line on
// the standard error and an exit code.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "commands.h"
#include "options.h"
#include "output.h"
#include "softstep/error.h"
#include "softstep/version.h"

namespace {

using namespace softstep::program;

int fail(const std::string& message) {
  std::cerr << "softstep: " << one_line(message) << std::endl;
  return exit_bad_input;
}

std::string names_of_commands(const std::vector<Command>& commands) {
  std::string names;
  for (const Command& command : commands) names += (names.empty() ? "" : ", ") + command.app->get_name();
  return names;
}

// CLI11 says what was not expected; a reader also wants to know what is.
std::string explain_extra(const CLI::App& app, const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const std::vector<std::string> extra = command.app->remaining();
    if (extra.empty()) continue;
    std::string known;
    for (const CLI::Option* option : command.app->get_options())
      known += (known.empty() ? "" : ", ") + option->get_name();
    return command.app->get_name() + ": unknown option " + extra.front() + " (known: " + known + ")";
  }
  const std::vector<std::string> extra = app.remaining();
  const std::string first = extra.empty() ? "" : extra.front();
  return "unknown command " + first + " (known: " + names_of_commands(commands) + ")";
}

int run(int argc, char** argv) {
  CLI::App app{"Softmax attention trained to the end: directions, margins and gaps that stay true.",
               "softstep"};
  app.set_version_flag("--version", std::string("softstep ") + softstep::version);
  app.set_help_flag("-h,--help", "Print this and stop");
  app.footer(
      "Step rules:\n" + rule_table() +
      "\n"
      "Examples:\n"
      "  softstep compare --model signal_noise --rules \"gd:step-size=20;ngd:step-size=1;polyak\" --steps "
      "10000 "
      "--seeds 10 --out demo\n"
      "  softstep report demo\n"
      "  softstep generate --model signal_noise --samples 10 --tokens 6 --dim 60 --out data.safetensors\n"
      "  softstep train --data data.safetensors --rule ngd --step-size 1 --steps 10000 --trace trace.csv\n"
      "\n"
      "softstep COMMAND --help explains one command. Exit codes: 0 done, 1 ended in a way that is reported "
      "by name "
      "(not_separable, not_finite, ...), 2 bad input.");

  const std::vector<Command> commands = {
      add_info(app),  add_generate(app),  add_solve(app), add_train(app),  add_compare(app),
      add_sweep(app), add_reproduce(app), add_fit(app),   add_report(app), add_check(app)};
  for (const Command& command : commands) command.app->set_help_flag("-h,--help", "Print this and stop");

  if (argc < 2)
    return fail("no command (one of " + names_of_commands(commands) + "; softstep --help tells more)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return fail(explain_extra(app, commands));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return fail(error.what());
  }
  for (const Command& command : commands)
    if (command.app->parsed()) return command.run();
  return fail("no command (one of " + names_of_commands(commands) + "; softstep --help tells more)");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    std::cout.flush();
    if (!std::cout) return fail("standard output: cannot be written");
    return code;
  } catch (const softstep::InvalidArgument& error) {
    return fail(error.what());
  } catch (const std::bad_alloc&) {
    return fail("out of memory: the data do not fit");
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
