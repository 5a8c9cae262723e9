#pragma once

#include <cstddef>
#include <string>

#include "softstep/large_data.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace softstep::program {

/// --memory SIZE: what the process may have in memory, and how it is divided.
struct MemoryOption {
  std::string text;  ///< "1G"
  CLI::Option* given = nullptr;

  bool is_given() const;

  /// If it was given: from here on a quarter, at most 256 MiB, is for data files (read_options()), 32 MiB are
  /// for the program itself and its libraries, and what the process allocates is bounded to the rest: more is
  /// "out of memory". Throws InvalidArgument.
  void bound_process() const;

 private:
  std::size_t bytes() const;
};
void add_memory(CLI::App& app, MemoryOption& option);

/// How data files are read: within the bound of this process, if it has one.
ReadOptions read_options();

}  // namespace softstep::program
