#pragma once

// What is said about a command line that cannot be read.

#include <string>
#include <vector>

#include "commands.h"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace softstep::program {

/// "no command (one of ...)".
std::string no_command(const std::vector<Command>& commands);

/// "unknown command X", with the nearest command or else all of them.
std::string unknown_command(const std::string& name, const std::vector<Command>& commands);

/// One line for an error of CLI11. A word that was not expected is named first: it is often the misspelt name
/// of what is then missing.
std::string explain(const CLI::ParseError& error, const CLI::App& app, const std::vector<Command>& commands);

}  // namespace softstep::program
