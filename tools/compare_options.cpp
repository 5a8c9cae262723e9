#include "compare_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.h"
#include "kept_runs.h"
#include "output.h"
#include "softstep/error.h"

namespace softstep::program {

namespace fs = std::filesystem;

void check_rules(const std::vector<RuleSettings>& rules) {
  if (rules.empty()) throw InvalidArgument("--rules", "none given");
  for (std::size_t r = 0; r < rules.size(); ++r) {
    make_step_rule<double>(rules[r]);  // throws if a value is out of range
    for (std::size_t s = 0; s < r; ++s)
      if (rules[s].rule == rules[r].rule && rule_values(rules[s]) == rule_values(rules[r]))
        throw InvalidArgument("--rules", rule_label(rules[r]) + " is there twice");
  }
}

CompareSettings CompareOptions::settings(std::vector<RuleSettings> chosen) const {
  CompareSettings settings;
  settings.from_file = data_option->count() != 0;
  if (settings.from_file && generator_option->count() != 0)
    throw InvalidArgument("--data", "does not go with --generator: choose one of the two");
  if (settings.from_file)
    for (const CLI::Option* option : generator_options)
      if (option->count() != 0)
        throw InvalidArgument(option->get_name(), "does not go with --data, only with --generator");
  if (!settings.from_file) check_generator_options(generator, generator_options);
  settings.rules = std::move(chosen);
  settings.run = run;
  settings.init = parse_init(run.init);
  settings.layer = run.layer(1);
  settings.data = data;
  settings.generator = generator;
  settings.n_threads = resolved_threads(threads);
  settings.keep = keep;
  settings.n_seeds = static_cast<int>(seeds);
  // One file from the same start is one run, whatever the seed.
  if (settings.from_file && settings.init.kind != Init::Kind::normal) settings.n_seeds = 1;
  check_seeds(run.seed, settings.n_seeds);
  return settings;
}

void add_compare_options(CLI::App& app, CompareOptions& options) {
  options.data_option = add_data(app, options.data);
  options.generator_option =
      add_generator(app, options.generator, "What makes a data set for each seed, without --data:");
  options.generator_options = add_generator_options(app, options.generator);
  app.add_option("--rules", options.rules, "Rules with their options, separated by semicolons")
      ->type_name("RULES")
      ->default_str(options.rules);
  add_run_options(app, options.run);
  options.seeds_option = add_whole(app, "--seeds", options.seeds, 1, 100000, "Number of seeds");
  add_seed(app, options.run.seed, "First seed, of the generator and of --init normal:STD");
  add_threads(app, options.threads, "Runs at a time, each on one thread");
  add_path(app, "--out", options.out, "Directory for the results", "DIR")->required();
  add_keep(app, options.keep);
  add_json(app, options.json);
}

OutputDirectory::OutputDirectory(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
}

OutputDirectory::~OutputDirectory() {
  std::error_code error;
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) fs::remove(*made, error);  // only if empty
}

void OutputDirectory::make() {
  std::error_code error;
  fs::path parent;
  for (const fs::path& part : fs::path(path_)) {
    parent /= part;
    if (fs::exists(parent, error)) continue;
    if (!fs::create_directory(parent, error))
      throw InvalidArgument("--out", path_ + " cannot be made: " + error.message());
    made_.push_back(parent);
  }
  if (!fs::is_directory(path_, error)) throw InvalidArgument("--out", path_ + " is not a directory");
}

CompareResult run_into(const CompareOptions& options, const CompareSettings& settings,
                       OutputDirectory& directory, const std::vector<std::string>& names) {
  catch_interrupts();
  return run_compare(settings, [&] {
    directory.make();
    // The page and the plots would be of those: both look for these files first.
    for (const char* name : {"verdict.json", "figures.json"})
      if (std::error_code error; fs::exists(directory.file(name), error))
        throw InvalidArgument(
            "--out", fmt::format("{} holds what fit or reproduce wrote ({}); choose another directory",
                                 options.out, name));
    Outputs outputs;
    outputs.add_data("--data", options.data.file);
    outputs.add_input("--decoder", options.data.decoder);
    outputs.add_input("--init", settings.init.file);
    for (const std::string& name : names) outputs.add("--out", directory.file(name));
    if (options.json != "-") outputs.add("--json", options.json);
  });
}

void write_summary(const CompareOptions& options, const OutputDirectory& directory, const std::string& text,
                   const Json& summary) {
  try_output(directory.file("summary.json"), json_text(summary));
  publish(text, summary, options.json);
  std::cout.flush();
}

bool note_interrupted(const CompareOptions& options, const CompareResult& result) {
  if (!result.interrupted) return false;
  note(result.n_finished == 0 ? "interrupted before the first run was finished; nothing was written"
                              : fmt::format("interrupted; {} of {} runs were finished and are in {}",
                                            result.n_finished, result.n_runs, options.out));
  return true;
}

bool note_endings(const CompareOptions& options, const CompareSettings& settings,
                  const CompareResult& result) {
  bool good = true, unique = true;
  std::size_t n_without_direction = 0;
  for (const CompareSeed& seed : result.seeds) {
    for (const CompareRun& run : seed.runs) good = good && (!run.finished || ended_well(run.summary.status));
    unique = unique && seed.unique_optimal_tokens;
    if (seed.reference["norm"].is_null()) ++n_without_direction;
  }
  if (settings.n_seeds != options.seeds && options.seeds_option->count() != 0)
    note(
        "one run of each rule: a file from the same start is the same run for every seed (see --init "
        "normal:STD)");
  if (!unique) note("the optimal tokens are not unique in at least one data set");
  if (n_without_direction != 0)
    note(fmt::format(
        "no direction to compare with for {} of {} seeds: their max-margin problem has no solution "
        "(summary.json, references)",
        n_without_direction, result.seeds.size()));
  return good;
}

}  // namespace softstep::program
