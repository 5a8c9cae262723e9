// Real data: how much the loss depends on the step size of each rule.

#include "reproduce/real_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "fit_runs.h"
#include "interrupt.h"
#include "median.h"
#include "reproduce/runs.h"
#include "softstep/dataset.h"

namespace softstep::program::reproduce {

namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr int n_seeds = 5;
constexpr std::int64_t n_epochs = 30, batch_size = 16;
const std::vector<double> factors = {0.2, 0.6, 2.0, 6.0};  // of the middle of each range: 30-fold

// The middle is what `softstep fit` takes if nothing is said. The first is what the others are held against.
struct Family {
  const char *name, *option;
  double middle;
};
constexpr Family families[] = {
    {"sgd", "step-size", 1.0}, {"sngd", "step-size", 0.1}, {"sps", "cap", 1.0}, {"adam", "step-size", 0.01}};
constexpr std::size_t n_families = std::size(families);

RuleSettings rule_of(const Family& family, double factor) {
  RuleSettings out = parse_rule(family.name);
  out.options[family.option] = factor * family.middle;
  return out;
}

std::string train_file(const std::string& folder) { return folder + "/train.safetensors"; }
std::string test_file(const std::string& folder) { return folder + "/test.safetensors"; }

// Median over the seeds; a run that ended early is worse than any.
double median_at(const std::vector<FitRun>& runs, std::size_t epoch, double Epoch::*value, double if_none) {
  std::vector<double> values;
  for (const FitRun& run : runs)
    values.push_back(epoch < run.epochs.size() && std::isfinite(run.epochs[epoch].*value)
                         ? run.epochs[epoch].*value
                         : if_none);
  return median(values);
}

Result run(const Context& context) {
  FitSettings settings;
  settings.train = train_file(context.data);
  settings.test = test_file(context.data);
  // Broken: gradient steps of the others' names, on the same multiples of one step size.
  for (const Family& family : families)
    for (const double factor : factors)
      settings.rules.push_back(rule_of(context.broken ? families[0] : family, factor));
  settings.layer.optimal_loss = OptimalLoss::zero;
  settings.init_std = 0.01;
  settings.n_epochs = n_epochs;
  settings.batch_size = std::min<std::int64_t>(
      batch_size, static_cast<std::int64_t>(load_dataset<float>(settings.train).view().n_samples));
  settings.seed = 1;
  settings.n_seeds = n_seeds;
  settings.n_threads = context.n_threads;
  const FitResult fit = run_fits(settings, [] {});
  Result result;
  if (fit.interrupted) return result;
  result.configuration = {{"data", context.data},
                          {"train_samples", fit.n_train},
                          {"test_samples", fit.n_test},
                          {"dim", fit.dim},
                          {"batch_size", settings.batch_size},
                          {"epochs", n_epochs},
                          {"seeds", n_seeds},
                          {"factors", factors}};
  Table table{fmt::format("After {} epochs, median of {} seeds", n_epochs, n_seeds),
              {"rule", "step size or cap", "train loss", "test loss", "test accuracy"},
              {}};
  Table spreads{"Training loss at the worst over that at the best of a 30-fold range of step sizes",
                {"rule", "worst", "best", "worst over best"},
                {}};
  DataFile file{
      "epochs.csv",
      {"rule", "step_size", "seed", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"},
      {}};
  Figure range{
      "range", "What the choice of the step size costs",
      "Training loss after 30 epochs against the step size over the middle of its range; median of 5 "
      "seeds.",
      "step size over the middle", "training loss"};
  std::vector<Figure> curves;
  std::vector<double> spread;
  for (std::size_t f = 0; f < n_families; ++f) {
    const Family& family = families[f];
    Figure figure{family.name, fmt::format("Training loss by epoch: {}", family.name),
                  "Median of 5 seeds, one line a step size.", "epoch", "training loss"};
    figure.x_scale = Scale::linear;
    Series ends{family.name, factors, {}};
    for (std::size_t k = 0; k < factors.size(); ++k) {
      const std::vector<FitRun>& runs = fit.runs[f * factors.size() + k];
      const double size = factors[k] * family.middle;
      Series series{fmt::format("{} {:g}", family.option, size), {}, {}};
      for (std::size_t epoch = 0; epoch <= n_epochs; ++epoch) {
        series.x.push_back(static_cast<double>(epoch));
        series.y.push_back(median_at(runs, epoch, &Epoch::train_loss, never));
      }
      figure.series.push_back(series);
      ends.y.push_back(series.y.back());
      table.rows.push_back({family.name, fmt::format("{:g}", size), rounded(series.y.back(), 4),
                            rounded(median_at(runs, n_epochs, &Epoch::test_loss, never), 4),
                            rounded(median_at(runs, n_epochs, &Epoch::test_accuracy, 0.0), 4)});
      for (const FitRun& run : runs)
        for (std::size_t e = 0; e < run.epochs.size(); ++e)
          file.rows.push_back({family.name, fmt::format("{:g}", size), std::to_string(run.seed),
                               std::to_string(e), shortest(run.epochs[e].train_loss),
                               shortest(run.epochs[e].train_accuracy), shortest(run.epochs[e].test_loss),
                               shortest(run.epochs[e].test_accuracy)});
    }
    const double worst = *std::max_element(ends.y.begin(), ends.y.end());
    const double best = *std::min_element(ends.y.begin(), ends.y.end());
    spread.push_back(worst / best);
    spreads.rows.push_back({family.name, rounded(worst, 4), rounded(best, 4), rounded(worst / best, 4)});
    range.series.push_back(ends);
    curves.push_back(figure);
  }
  for (std::size_t f = 1; f < n_families; ++f)
    result.checks.push_back(
        {fmt::format("{}: worst over best training loss of its range, over that of sgd", families[f].name),
         "below 1", spread[f] / spread[0], 0.0, std::nextafter(1.0, 0.0)});
  result.tables = {spreads, table};
  result.figures = {range};
  result.figures.insert(result.figures.end(), curves.begin(), curves.end());
  result.data.push_back(file);
  return result;
}

}  // namespace

void check_real_data(const std::string& folder) {
  load_dataset<float>(train_file(folder));
  load_dataset<float>(test_file(folder));
}

Json real_data_identity(const std::string& folder) {
  Json json = Json::array();
  AttentionOptions layer;
  layer.train_decoder = true;
  layer.optimal_loss = OptimalLoss::zero;
  for (const std::string& file : {train_file(folder), test_file(folder)})
    json.push_back(make_attention_model(load_dataset<float>(file).view(), layer)->identity());
  return json;
}

const Entry real_data_entry = {
    "real_data",
    "Real data: what the choice of the step size costs",
    "SGD, SNGD, SPS and Adam on data of the user's (--data DIR, as tools/datasets makes it), W and u "
    "jointly in mini-batches, every rule over a 30-fold range of step sizes (sps: of caps) and five "
    "seeds (arXiv 2402.05738, where SGD is slower than normalised steps on real data). The verdict is "
    "on how much the training loss depends on the step size, and is reported as it comes out.",
    "gradient steps in place of every rule",
    run,
    "arXiv 2402.05738",
    "normalised and adaptive steps depend less on the step size than SGD",
    "needs data, and is left out of `all` without; the verdict on robustness is ours",
    true};

}  // namespace softstep::program::reproduce
