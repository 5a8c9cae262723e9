#include "command_line_errors.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "nearest.h"

namespace softstep::program {

namespace {

// Options that had another name once.
const struct {
  const char* old_name;
  const char* name;
} renamed[] = {{"--model", "--generator"}};

std::vector<std::string> names_of(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.app->get_name());
  return names;
}

bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

// The option and its value may have come as one word: --steps=5.
std::string option_name(const std::string& word) { return word.substr(0, word.find('=')); }

std::string explain_extra(const CLI::App& command, const std::string& extra) {
  const std::string& name = command.get_name();
  if (!is_option(extra))
    return fmt::format("{}: {} was not expected (`softstep help {}` says what is)", name, extra, name);
  const std::string option = option_name(extra);
  for (const auto& row : renamed)
    if (option == row.old_name && command.get_option_no_throw(row.name) != nullptr)
      return fmt::format("{}: {} is called {} now", name, option, row.name);
  std::vector<std::string> known;
  for (const CLI::Option* each : command.get_options()) known.push_back(each->get_name());
  return fmt::format("{}: unknown option {}{}", name, option, suggestion(option, known));
}

// CLI11 counts: "1 required FILE missing", "At Most 1 required but received 2".
std::string explain_count(const CLI::ParseError& error, const CLI::App& command) {
  std::string what = error.what();
  const std::string name = what.substr(0, what.find(':'));
  const CLI::Option* option = command.get_option_no_throw(name);
  if (option == nullptr) return what;
  const auto n = option->results().size();
  if (n > 1) return fmt::format("{}: given {} times (need it once)", name, n);
  return fmt::format("{}: its value is missing ({} {})", name, name, option->get_type_name());
}

}  // namespace

std::string no_command(const std::vector<Command>& commands) {
  return fmt::format("no command (one of {}; `softstep help` tells more)",
                     fmt::join(names_of(commands), ", "));
}

std::string unknown_command(const std::string& name, const std::vector<Command>& commands) {
  return fmt::format("unknown command {}{}", name, suggestion(name, names_of(commands)));
}

std::string explain(const CLI::ParseError& error, const CLI::App& app, const std::vector<Command>& commands) {
  const std::vector<std::string> before = app.remaining();
  if (!before.empty()) {
    if (!is_option(before.front())) return unknown_command(before.front(), commands);
    const std::string option = option_name(before.front());
    for (const Command& command : commands)
      if (command.app->get_option_no_throw(option) != nullptr)
        return fmt::format("{} stands before the command (need it after: softstep COMMAND {} ...)", option,
                           option);
    return fmt::format("unknown option {} (`softstep help` lists the commands)", option);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const std::vector<std::string> extra = command.app->remaining();
    if (!extra.empty()) return explain_extra(*command.app, extra.front());
    const std::string text =
        error.get_name() == "ArgumentMismatch" ? explain_count(error, *command.app) : error.what();
    return command.app->get_name() + ": " + text;
  }
  return error.what();
}

}  // namespace softstep::program
