#pragma once

#include <memory>
#include <string>

#include "commands.h"

namespace softstep::program {

/// The commands of the program with all their options, and one reading of a command line.
class CommandLine {
 public:
  CommandLine();
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// The command to run. Null where there is nothing to run: --help or --version were printed, or wrong()
  /// says what cannot be read.
  const Command* read(int argc, const char* const* argv);
  /// Empty, or what is wrong with the command line.
  const std::string& wrong() const { return wrong_; }

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string wrong_;
};

}  // namespace softstep::program
