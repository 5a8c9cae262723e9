// softstep sweep: rules times step sizes times seeds, many small runs at once.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "compare_options.h"
#include "compare_report.h"
#include "interrupt.h"
#include "output.h"
#include "read_number.h"
#include "softstep/error.h"

namespace softstep::program {

namespace {

struct Options : CompareOptions {
  std::string step_sizes = "0.01,0.1,1,10,100";
  CLI::Option* step_sizes_option = nullptr;
};

const std::string step_size = "step-size";

std::vector<double> read_sizes(const std::string& text) {
  std::vector<double> sizes;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(',', begin);
    const std::string part = text.substr(begin, end - begin);
    double value = 0.0;
    if (!read_number(part, value) || !(value > 0.0) || !std::isfinite(value))
      throw InvalidArgument("--step-sizes",
                            fmt::format("\"{}\" in \"{}\" is not a positive number", part, text));
    for (const double other : sizes)
      if (other == value) throw InvalidArgument("--step-sizes", part + " is there twice");
    sizes.push_back(value);
    if (end == std::string::npos) return sizes;
    begin = end + 1;
  }
}

bool has_step_size(const std::string& rule) {
  for (const RuleInfo& info : step_rules())
    if (info.name == rule)
      for (const RuleOptionInfo& option : info.options)
        if (option.name == step_size) return true;
  return false;
}

bool takes_sizes(const RuleSettings& rule) {
  return has_step_size(rule.rule) && rule.options.count(step_size) == 0;
}

// Every rule that takes a step size, and is not given one, with each of the sizes; the others once.
std::vector<RuleSettings> with_sizes(const std::vector<RuleSettings>& rules,
                                     const std::vector<double>& sizes) {
  std::vector<RuleSettings> out;
  for (const RuleSettings& rule : rules) {
    if (!takes_sizes(rule)) {
      out.push_back(rule);
      continue;
    }
    for (const double size : sizes) {
      out.push_back(rule);
      out.back().options[step_size] = size;
    }
  }
  return out;
}

int run_sweep_command(const Options& options) {
  const std::vector<RuleSettings> given = parse_rules(options.rules);
  const std::vector<RuleSettings> rules = with_sizes(given, read_sizes(options.step_sizes));
  check_rules(rules);
  if (options.step_sizes_option->count() != 0 && std::none_of(given.begin(), given.end(), takes_sizes))
    throw InvalidArgument("--step-sizes",
                          "no rule of --rules takes one and is not given one (" + options.rules + ")");
  CompareSettings settings = options.settings(rules);
  settings.command = "sweep";
  settings.run.trace_rows_per_decade = 0;  // no trace is written, and of many runs it would fill the memory
  OutputDirectory directory(options.out);
  const CompareResult result = run_into(options, settings, directory, {"sweep.csv", "summary.json"});
  if (note_interrupted(options, result) && result.n_finished == 0) return interrupt_exit_code();
  Json summary = compare_summary(settings, result);
  summary["best"] = sweep_best(settings, result);
  try_output(directory.file("sweep.csv"), sweep_rows(settings, result));
  write_summary(options, directory,
                compare_table(settings, result) + sweep_best_text(summary["best"]) + sweep_speed_text(result),
                summary);
  // A run that ends early is a result here, not a failure: its step size was too large.
  note_endings(options, settings, result);
  return result.interrupted ? interrupt_exit_code() : exit_success;
}

}  // namespace

Command add_sweep(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  options->rules = "gd;ngd;polyak";
  CLI::App* app =
      program.add_subcommand("sweep", "Try step sizes: rules x step sizes x seeds, many runs at once");
  add_compare_options(*app, *options);
  options->step_sizes_option =
      app->add_option(
             "--step-sizes", options->step_sizes,
             "Step sizes, separated by commas, for every rule that takes one and is not given one in --rules")
          ->type_name("SIZES")
          ->default_str(options->step_sizes);
  app->footer(
      "Examples:\n"
      "  softstep sweep --generator signal_noise --step-sizes 0.1,1,10 --steps 2000 --seeds 10 --out steps\n"
      "  softstep sweep --data data.safetensors --rules \"gd;ngd:schedule-power=0.5\" --out mine\n"
      "Writes summary.json, and sweep.csv with one row per run. A run that ends early counts as a run: the "
      "column\n"
      "`status` says how it ended.");
  return {app, [options] { return run_sweep_command(*options); }};
}

}  // namespace softstep::program
