#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace softstep::program {

/// Exit codes of every command. An interrupted one ends with 128 + the signal's number.
enum ExitCode : int {
  exit_success = 0,  ///< done as asked; for a training run also `stationary` and `converged`
  exit_ending =
      1,  ///< ran, but ended where nobody wants to be: not_separable, not_finite, a bound exceeded ...
  exit_bad_input = 2  ///< bad input: one line on the standard error, nothing written
};

/// A command: its subcommand, and what to do once the command line has been read.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
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
