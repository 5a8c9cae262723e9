// softstep compare: several rules over several seeds, side by side: table, summary, traces and plots.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "compare_options.h"
#include "compare_report.h"
#include "interrupt.h"
#include "output.h"
#include "plot_process.h"

namespace softstep::program {

namespace {

struct Options : CompareOptions {
  bool no_plots = false;
};

int run_compare_command(const Options& options) {
  const std::vector<RuleSettings> rules = parse_rules(options.rules);
  check_rules(rules);
  const CompareSettings settings = options.settings(rules);
  OutputDirectory directory(options.out);
  const CompareResult result = run_into(options, settings, directory, {"trace.csv", "summary.json"});
  if (note_interrupted(options, result) && result.n_finished == 0) return interrupt_exit_code();
  const Json summary = compare_summary(settings, result);
  try_output([&] {
    remove_pictures(directory.file(""), {"loss_gap", "weight_norm", "one_minus_cos", "one_minus_attention"});
  });
  try_output(directory.file("trace.csv"), compare_trace(settings, result));
  write_summary(options, directory, compare_table(settings, result), summary);
  bool good = note_endings(options, settings, result);
  if (!options.no_plots && !result.interrupted) {
    const std::string problem = draw_plots(directory.file(""));
    if (!problem.empty()) {
      note("no plots: " + problem + "; the data are in " + options.out);
      good = false;
    }
  }
  if (interrupted()) return interrupt_exit_code();
  return good ? exit_success : exit_ending;
}

}  // namespace

Command add_compare(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  options->rules = "gd:step-size=20;ngd:step-size=1;polyak";
  CLI::App* app =
      program.add_subcommand("compare", "Compare step rules over several seeds: table, traces and plots");
  add_compare_options(*app, *options);
  app->add_flag("--no-plots", options->no_plots, "Draw no plots");
  app->footer(
      "Examples:\n"
      "  softstep compare --generator signal_noise --samples 10 --tokens 6 --dim 60 --steps 10000 \\\n"
      "      --seeds 10 --out demo\n"
      "  softstep compare --generator random_unit --samples 6 --tokens 8 --dim 10 \\\n"
      "      --rules ngd:step-size=0.1 --steps 2000 --seeds 100 --out unit\n"
      "  softstep compare --data data.safetensors --rules \"ngd;ngd:schedule-power=0.5\" \\\n"
      "      --init normal:0.1 --seeds 5 --out mine\n"
      "Plots need a Python with matplotlib: SOFTSTEP_PYTHON, python3 or /usr/bin/python3.");
  return {app, [options] { return run_compare_command(*options); },
          "a run ended as not_finite or gap_not_positive, or the plots could not be drawn"};
}

}  // namespace softstep::program
