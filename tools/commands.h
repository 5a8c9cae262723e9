#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace softstep::program {

/// Exit codes of every command. An interrupted one ends with 128 + the signal's number.
enum ExitCode : int {
  /// Done as asked. For a training run also `stationary` and `converged`.
  exit_success = 0,
  /// The work was done, but ended badly: not_separable, not_finite, a bound exceeded ...
  exit_ending = 1,
  /// The command could not be carried out, and one line on the standard error says why. Options, inputs and
  /// whether the outputs can be written are checked before anything is written.
  exit_bad_input = 2
};

/// A command: its subcommand, what to do once the command line has been read, and what exit code 1 says.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
  const char* bad_ending = nullptr;  ///< null: the command has no exit code 1
};

// One file each.
Command add_info(CLI::App& program);
Command add_generate(CLI::App& program);
Command add_solve(CLI::App& program);
Command add_train(CLI::App& program);
Command add_compare(CLI::App& program);
Command add_sweep(CLI::App& program);
Command add_reproduce(CLI::App& program);
Command add_fit(CLI::App& program);
Command add_report(CLI::App& program);
Command add_check(CLI::App& program);

}  // namespace softstep::program
