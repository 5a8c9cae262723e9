#include "command_line.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <iostream>
#include <vector>

#include "command_line_errors.h"
#include "options.h"
#include "softstep/error.h"
#include "softstep/version.h"

namespace softstep::program {

struct CommandLine::Parts {
  CLI::App app{"Softmax attention trained to the end: directions, margins and gaps that stay true.",
               "softstep"};
  std::vector<Command> commands;
  std::string topic;  // of `help`
};

namespace {

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
  throw InvalidArgument("help", unknown_command(name, commands));
}

}  // namespace

CommandLine::CommandLine() : parts_(std::make_unique<Parts>()) {
  CLI::App& app = parts_->app;
  std::vector<Command>& commands = parts_->commands;
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

  commands = {add_info(app),  add_generate(app),  add_solve(app), add_train(app),  add_compare(app),
              add_sweep(app), add_reproduce(app), add_fit(app),   add_report(app), add_check(app)};
  for (const Command& command : commands)
    command.app->footer(command.app->get_footer() + "\n" + exit_codes(command));
  CLI::App* help = app.add_subcommand("help", "Explain the program, or one command");
  help->add_option("COMMAND", parts_->topic, "The command to explain")->type_name("NAME");
  commands.push_back(
      {help, [parts = parts_.get()] { return print_help(parts->app, parts->topic, parts->commands); }});
  for (const Command& command : commands) command.app->set_help_flag("-h,--help", "Print this and stop");
}

CommandLine::~CommandLine() = default;

const Command* CommandLine::read(int argc, const char* const* argv) {
  const std::vector<Command>& commands = parts_->commands;
  wrong_.clear();
  if (argc >= 2) {
    try {
      parts_->app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0)
        parts_->app.exit(error);  // --help, --version
      else
        wrong_ = explain(error, parts_->app, commands);
      return nullptr;
    } catch (const InvalidArgument& error) {
      wrong_ = error.what();
      return nullptr;
    }
    for (const Command& command : commands)
      if (command.app->parsed()) return &command;
  }
  wrong_ = no_command(commands);
  return nullptr;
}

}  // namespace softstep::program
