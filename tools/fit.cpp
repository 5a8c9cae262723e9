// softstep fit: joint mini-batch training of W and u on a training and a test set: loss and accuracy by
// epoch, for several rules and seeds.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "compare_options.h"
#include "fit_runs.h"
#include "interrupt.h"
#include "kept_runs.h"
#include "median.h"
#include "options.h"
#include "output.h"
#include "reproduce/publish.h"
#include "softstep/error.h"
#include "softstep/isa.h"

namespace softstep::program {

namespace {

using reproduce::Figure;
using reproduce::Result;
using reproduce::Series;

struct Options {
  FitSettings settings;
  std::string rules = "sgd:step-size=1;sngd:step-size=0.1;sps:cap=1;adam:step-size=0.01", loss = "logistic",
              isa = "auto", out, json, init = "normal:0.01";
  std::int64_t seeds = 5, threads = 0;
  double expect_accuracy = 0.0;
  bool no_plots = false;
};

struct Measure {
  const char *file, *title, *label;
  double (*of)(const Epoch&);
  reproduce::Scale scale;
};
const Measure measures[] = {{"train_loss", "Training loss", "mean loss",
                             [](const Epoch& e) { return e.train_loss; }, reproduce::Scale::logarithmic},
                            {"test_loss", "Test loss", "mean loss",
                             [](const Epoch& e) { return e.test_loss; }, reproduce::Scale::logarithmic},
                            {"train_accuracy", "Training accuracy", "accuracy",
                             [](const Epoch& e) { return e.train_accuracy; }, reproduce::Scale::linear},
                            {"test_accuracy", "Test accuracy", "accuracy",
                             [](const Epoch& e) { return e.test_accuracy; }, reproduce::Scale::linear}};

// Median over the seeds that got so far.
double median_at(const FitResult& result, std::size_t rule, std::size_t epoch, double (*of)(const Epoch&)) {
  std::vector<double> values;
  for (const FitRun& run : result.runs[rule])
    if (epoch < run.epochs.size()) values.push_back(of(run.epochs[epoch]));
  return median(values);
}

Figure figure_of(const FitSettings& settings, const FitResult& result, const Measure& measure) {
  Figure figure;
  figure.file = measure.file;
  figure.title = measure.title;
  figure.caption = fmt::format("Joint training of W and u in mini-batches of {}; median of {} seeds.",
                               settings.batch_size, settings.n_seeds);
  figure.x_label = "epoch";
  figure.y_label = measure.label;
  figure.x_scale = reproduce::Scale::linear;
  figure.y_scale = measure.scale;
  for (std::size_t rule = 0; rule < settings.rules.size(); ++rule) {
    Series series;
    series.label = rule_label(settings.rules[rule]);
    for (std::int64_t epoch = 0; epoch <= settings.n_epochs; ++epoch) {
      series.x.push_back(static_cast<double>(epoch));
      series.y.push_back(median_at(result, rule, static_cast<std::size_t>(epoch), measure.of));
    }
    figure.series.push_back(series);
  }
  return figure;
}

// Epochs until the training loss has fallen to this share of the first, median over seeds; infinity: never.
double epochs_to(const FitResult& result, std::size_t rule, double share) {
  std::vector<double> counts;
  for (const FitRun& run : result.runs[rule]) {
    double count = std::numeric_limits<double>::infinity();
    for (std::size_t e = 0; e < run.epochs.size() && std::isinf(count); ++e)
      if (run.epochs[e].train_loss <= share * run.epochs[0].train_loss) count = static_cast<double>(e);
    counts.push_back(count);
  }
  return median(counts);
}

Result result_of(const Options& options, const FitResult& fit) {
  const FitSettings& settings = options.settings;
  const auto last = static_cast<std::size_t>(settings.n_epochs);
  const double inf = std::numeric_limits<double>::infinity();
  Result result;
  reproduce::Table table{
      fmt::format("Medians of {} seeds after {} epochs", settings.n_seeds, settings.n_epochs),
      {"rule", "train loss", "test loss", "train accuracy", "test accuracy",
       "epochs to a tenth of the first train loss", "seconds"},
      {}};
  reproduce::DataFile data{"fit.csv",
                           {"rule", "seed", "epoch", "step", "train_loss", "train_accuracy", "test_loss",
                            "test_accuracy", "weight_norm", "decoder_norm", "seconds"},
                           {}};
  double best = 0.0;
  std::size_t n_finite = 0, n_runs = 0;
  for (std::size_t rule = 0; rule < settings.rules.size(); ++rule) {
    const std::string label = rule_label(settings.rules[rule]);
    std::vector<std::string> cells = {label};
    for (const Measure& measure : measures)
      cells.push_back(rounded(median_at(fit, rule, last, measure.of), 4));
    cells.push_back(rounded(epochs_to(fit, rule, 0.1), 3));
    cells.push_back(rounded(median_at(fit, rule, last, [](const Epoch& e) { return e.seconds; }), 3));
    table.rows.push_back(cells);
    best = std::fmax(best, median_at(fit, rule, last, measures[3].of));
    for (const FitRun& run : fit.runs[rule]) {
      ++n_runs;
      if (run.epochs.size() == last + 1 && std::isfinite(run.epochs.back().train_loss)) ++n_finite;
      for (std::size_t e = 0; e < run.epochs.size(); ++e) {
        const Epoch& epoch = run.epochs[e];
        std::vector<std::string> row = {label, std::to_string(run.seed), std::to_string(e),
                                        std::to_string(epoch.step)};
        for (const double value : {epoch.train_loss, epoch.train_accuracy, epoch.test_loss,
                                   epoch.test_accuracy, epoch.weight_norm, epoch.decoder_norm, epoch.seconds})
          row.push_back(shortest(value));
        data.rows.push_back(row);
      }
    }
  }
  result.checks.push_back({"share of runs that took every step and stayed finite", "1",
                           static_cast<double>(n_finite) / static_cast<double>(n_runs), 1.0, 1.0});
  if (options.expect_accuracy > 0.0)
    result.checks.push_back({"best median test accuracy of a rule",
                             "at least " + shortest(options.expect_accuracy), best, options.expect_accuracy,
                             inf});
  for (const Measure& measure : measures) result.figures.push_back(figure_of(settings, fit, measure));
  result.tables.push_back(table);
  result.data.push_back(data);
  result.configuration = {{"train", settings.train},
                          {"test", settings.test},
                          {"train_samples", fit.n_train},
                          {"test_samples", fit.n_test},
                          {"dim", fit.dim},
                          {"batch_size", settings.batch_size},
                          {"epochs", settings.n_epochs},
                          {"seeds", settings.n_seeds},
                          {"seed", settings.seed},
                          {"init", options.init},
                          {"loss", options.loss},
                          {"precision", settings.precision}};
  if (fit.interrupted)
    result.configuration["interrupted"] = fmt::format("{} epochs measured", fit.n_epochs());
  return result;
}

int run_fit(Options& options) {
  FitSettings& settings = options.settings;
  settings.rules = parse_rules(options.rules);
  check_rules(settings.rules);
  settings.n_seeds = static_cast<int>(options.seeds);
  settings.layer.loss = parse_loss(options.loss);
  settings.layer.optimal_loss = OptimalLoss::zero;
  force_isa(options.isa);
  settings.layer.isa = active_isa();
  const Init init = parse_init(options.init);
  if (init.kind == Init::Kind::file)
    throw InvalidArgument("--init", options.init + " (need zero or normal:STD)");
  settings.init_std = init.std;
  check_seeds(settings.seed, options.seeds);
  settings.n_threads = resolved_threads(options.threads);
  catch_interrupts();
  OutputDirectory directory(options.out);
  const auto start = std::chrono::steady_clock::now();
  const FitResult fit = run_fits(settings, [&] {
    directory.make();
    Outputs outputs;
    outputs.add_data("--train", settings.train);
    outputs.add_data("--test", settings.test);
    outputs.add("--out", directory.file("verdict.json"));
    if (options.json != "-") outputs.add("--json", options.json);
  });
  if (fit.interrupted && fit.n_epochs() == 0) {
    note("interrupted before the first epoch was measured; nothing was written");
    return interrupt_exit_code();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const reproduce::Entry entry = {"fit",
                                  "Training and test curves",
                                  "Joint mini-batch training of W and u, each block by its own gradient.",
                                  "",
                                  nullptr,
                                  "",
                                  "",
                                  ""};
  const Result result = result_of(options, fit);
  const Json verdict = reproduce::verdict_json(entry, result, seconds, settings.n_threads);
  const std::string problem = reproduce::write_result(directory.file(""), entry, result, verdict,
                                                      !options.no_plots && !fit.interrupted);
  publish(reproduce::result_text(entry, result, seconds, false), verdict, options.json);
  if (!problem.empty()) note(problem);
  if (fit.interrupted)
    note(fmt::format("interrupted; the {} epochs that were measured are in {}", fit.n_epochs(), options.out));
  if (interrupted()) return interrupt_exit_code();
  return result.passed() && problem.empty() ? exit_success : exit_ending;
}

}  // namespace

Command add_fit(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  FitSettings& settings = options->settings;
  CLI::App* app = program.add_subcommand(
      "fit", "Train W and u jointly in mini-batches: loss and accuracy on training and test data by epoch");
  add_path(*app, "--train", settings.train, "Training set: a safetensors file; no decoder is needed")
      ->required();
  add_path(*app, "--test", settings.test, "Test set, of the same dimension")->required();
  app->add_option("--rules", options->rules, "Rules with their options, separated by semicolons")
      ->type_name("RULES")
      ->default_str(options->rules);
  add_whole(*app, "--epochs", settings.n_epochs, 1, 1000000, "Passes over the training set");
  add_whole(*app, "--batch-size", settings.batch_size, 1, most_whole, "Samples a step sees");
  add_whole(*app, "--seeds", options->seeds, 1, 100000,
            "Number of seeds: initial weights and order of the samples");
  add_seed(*app, settings.seed, "First seed");
  app->add_option("--init", options->init, "Initial W and u: zero or normal:STD")
      ->type_name("zero|normal:STD")
      ->default_str(options->init);
  add_word(*app, "--precision", settings.precision, {"f32", "f64"},
           "Number type of data, weights and kernels");
  add_word(*app, "--loss", options->loss, {to_string(Loss::logistic), to_string(Loss::exponential)},
           "Loss of the margin");
  add_real(*app, "--expect-accuracy", options->expect_accuracy, 0.0, 1.0,
           "Exit code 1 unless the best rule's median test accuracy is at least this");
  app->add_option("--isa", options->isa, "Instruction set to use, or auto")
      ->type_name("NAME")
      ->default_str(options->isa);
  add_threads(*app, options->threads, "Runs at a time, each on one thread");
  add_path(*app, "--out", options->out, "Directory for the results", "DIR")->required();
  add_keep(*app, settings.keep);
  app->add_flag("--no-plots", options->no_plots, "Draw no plots");
  add_json(*app, options->json);
  app->footer(
      "Examples:\n"
      "  softstep fit --train digits/train.safetensors --test digits/test.safetensors --epochs 30 \\\n"
      "      --out digits/fit\n"
      "  softstep report digits/fit\n");
  return {app, [options] { return run_fit(*options); },
          "a run did not take every step or did not stay finite, --expect-accuracy was not reached, or the "
          "plots could not be drawn"};
}

}  // namespace softstep::program
