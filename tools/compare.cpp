// softstep compare: several rules over several seeds, side by side: table, summary, traces and plots.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "compare_report.h"
#include "compare_runs.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "plot_process.h"
#include "softstep/error.h"

namespace softstep::program {

namespace fs = std::filesystem;

namespace {

struct Options {
  DataOptions data;
  ModelOptions model;
  RunOptions run;
  std::string rules = "gd:step-size=20;ngd:step-size=1;polyak", out, json;
  std::int64_t seeds = 10, threads = 0;
  bool no_plots = false;
  CLI::Option *data_option = nullptr, *model_option = nullptr, *seeds_option = nullptr;
  std::vector<CLI::Option*> model_options;
};

std::vector<RuleSettings> checked_rules(const std::string& text) {
  std::vector<RuleSettings> rules = parse_rules(text);
  if (rules.empty()) throw InvalidArgument("--rules", "none given");
  for (std::size_t r = 0; r < rules.size(); ++r) {
    make_step_rule<double>(rules[r]);  // throws if a value is out of range
    for (std::size_t s = 0; s < r; ++s)
      if (rules[s].rule == rules[r].rule && rule_values(rules[s]) == rule_values(rules[r]))
        throw InvalidArgument("--rules", rule_label(rules[r]) + " is there twice");
  }
  return rules;
}

CompareSettings read_settings(const Options& options) {
  CompareSettings settings;
  settings.from_file = options.data_option->count() != 0;
  if (settings.from_file && options.model_option->count() != 0)
    throw InvalidArgument("--data", "does not go with --model: choose one of the two");
  if (settings.from_file)
    for (const CLI::Option* option : options.model_options)
      if (option->count() != 0)
        throw InvalidArgument(option->get_name(), "does not go with --data, only with --model");
  settings.rules = checked_rules(options.rules);
  settings.run = options.run;
  settings.init = parse_init(options.run.init);
  settings.objective = options.run.objective(1);
  settings.data = options.data;
  settings.model = options.model;
  settings.n_threads = resolved_threads(options.threads);
  settings.n_seeds = static_cast<int>(options.seeds);
  // One file from the same start is one run, whatever the seed.
  if (settings.from_file && settings.init.kind != Init::Kind::normal) settings.n_seeds = 1;
  return settings;
}

// The directory of the results; removed again if nothing came of it.
class OutputDirectory {
 public:
  explicit OutputDirectory(std::string path) : path_(std::move(path)) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  }
  ~OutputDirectory() {
    std::error_code error;
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) fs::remove(*made, error);  // only if empty
  }
  std::string file(const char* name) const { return path_ + "/" + name; }
  void make() {
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

 private:
  std::string path_;
  std::vector<fs::path> made_;
};

int report(const Options& options, const CompareSettings& settings, const CompareResult& result,
           const OutputDirectory& directory) {
  const Json summary = compare_summary(settings, result);
  write_file(directory.file("trace.csv"), compare_trace(settings, result));
  write_file(directory.file("summary.json"),
             summary.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  publish(compare_table(settings, result), summary, options.json);
  std::cout.flush();

  bool good = true, unique = true;
  std::size_t n_without_direction = 0;
  for (const CompareSeed& seed : result.seeds) {
    for (const CompareRun& run : seed.runs) good = good && ended_well(run.summary.status);
    unique = unique && seed.unique_optimal_tokens;
    if (seed.reference["norm"].is_null()) ++n_without_direction;
  }
  if (settings.n_seeds != options.seeds && options.seeds_option->count() != 0)
    note(
        "one run of each rule: a file from the same start is the same run for every seed (see --init "
        "normal:STD)");
  if (!unique) note("the optimal tokens are not unique in at least one data set");
  if (n_without_direction != 0)
    note("no direction to compare with for " + std::to_string(n_without_direction) +
         " seeds: their max-margin problem has no solution (summary.json, references)");
  if (!options.no_plots) {
    const std::string problem = draw_plots(directory.file(""));
    if (!problem.empty()) {
      note("no plots: " + problem + "; the data are in " + options.out);
      good = false;
    }
  }
  return good ? exit_success : exit_ending;
}

int run_compare_command(const Options& options) {
  const CompareSettings settings = read_settings(options);
  OutputDirectory directory(options.out);
  catch_interrupts();
  const CompareResult result = run_compare(settings, [&] {
    directory.make();
    Outputs outputs;
    outputs.add_input("--data", options.data.file);
    outputs.add_input("--decoder", options.data.decoder);
    outputs.add_input("--init", settings.init.file);
    outputs.add("--out", directory.file("trace.csv"));
    outputs.add("--out", directory.file("summary.json"));
    if (options.json != "-") outputs.add("--json", options.json);
  });
  if (result.interrupted) {
    note("interrupted; nothing was written");
    return interrupt_exit_code();
  }
  return report(options, settings, result, directory);
}

}  // namespace

Command add_compare(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* app =
      program.add_subcommand("compare", "Compare step rules over several seeds: table, traces and plots");
  std::string models;
  for (const GeneratorInfo& model : generator_models())
    models += (models.empty() ? "" : ", ") + std::string(model.name);
  options->data_option = add_data(*app, options->data);
  options->model_option = app->add_option("--model", options->model.generator.model,
                                          "Data model, made anew for each seed: " + models)
                              ->type_name("NAME")
                              ->default_str(options->model.generator.model);
  options->model_options = add_model_options(*app, options->model);
  app->add_option("--rules", options->rules, "Rules with their options, separated by semicolons")
      ->type_name("RULES")
      ->default_str(options->rules);
  add_run_options(*app, options->run);
  options->seeds_option = add_whole(*app, "--seeds", options->seeds, 1, 100000, "Number of seeds");
  add_seed(*app, options->run.seed, "First seed, of the data model and of --init normal:STD");
  add_threads(*app, options->threads, "Runs at a time, each on one thread");
  app->add_option("--out", options->out, "Directory for summary.json, trace.csv and the plots")
      ->type_name("DIR")
      ->required();
  app->add_flag("--no-plots", options->no_plots, "Draw no plots");
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep compare --model signal_noise --samples 10 --tokens 6 --dim 60 --steps 10000 --seeds 10 "
      "--out demo\n"
      "  softstep compare --model random_unit --samples 6 --tokens 8 --dim 10 --rules ngd:step-size=0.1 "
      "--steps 2000 "
      "--seeds 100 --out unit\n"
      "  softstep compare --data data.safetensors --rules \"ngd;ngd:schedule-power=0.5\" --init normal:0.1 "
      "--seeds 5 "
      "--out mine\n"
      "Plots need a Python with matplotlib: SOFTSTEP_PYTHON, python3 or /usr/bin/python3.");
  return {app, [options] { return run_compare_command(*options); }};
}

}  // namespace softstep::program
