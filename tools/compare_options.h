#pragma once

// What `compare` and `sweep` share: the options of many runs over seeds, and the directory of their results.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "compare_runs.h"

namespace softstep::program {

struct CompareOptions {
  DataOptions data;
  GeneratorFlags generator;
  RunOptions run;
  std::string rules, out, json, keep;
  std::int64_t seeds = 10, threads = 0;
  CLI::Option *data_option = nullptr, *generator_option = nullptr, *seeds_option = nullptr;
  std::vector<CLI::Option*> generator_options;

  /// Throws InvalidArgument for what does not go together; `chosen` are the rules to run.
  CompareSettings settings(std::vector<RuleSettings> chosen) const;
};

/// All but the options of a command's own.
void add_compare_options(CLI::App& app, CompareOptions& options);

/// The rules of --rules, each with values in range and no two alike. Throws InvalidArgument.
void check_rules(const std::vector<RuleSettings>& rules);

/// The directory of the results. It is removed again if nothing was written into it.
class OutputDirectory {
 public:
  explicit OutputDirectory(std::string path);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void make();

 private:
  std::string path_;
  std::vector<std::filesystem::path> made_;
};

/// Makes the runs. Before the first one it makes the directory and checks that each file of `names` can be
/// written.
CompareResult run_into(const CompareOptions& options, const CompareSettings& settings,
                       OutputDirectory& directory, const std::vector<std::string>& names);

/// Writes summary.json and --json, and prints the text. To be called after all other files have been written.
void write_summary(const CompareOptions& options, const OutputDirectory& directory, const std::string& text,
                   const Json& summary);

/// Whether the runs were interrupted; a note then says how many were finished and where they are.
bool note_interrupted(const CompareOptions& options, const CompareResult& result);

/// Prints the notes that both commands give. False if a run ended badly.
bool note_endings(const CompareOptions& options, const CompareSettings& settings,
                  const CompareResult& result);

}  // namespace softstep::program
