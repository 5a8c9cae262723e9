#include "fit_runs.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "interrupt.h"
#include "kept_runs.h"
#include "options.h"
#include "run_progress.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/metrics.h"
#include "softstep/train_many.h"
#include "softstep/version.h"

namespace softstep::program {

namespace {

// The numbers of an epoch in the order of a kept run.
constexpr std::array<double Epoch::*, 7> numbers = {
    &Epoch::train_loss,  &Epoch::train_accuracy, &Epoch::test_loss, &Epoch::test_accuracy,
    &Epoch::weight_norm, &Epoch::decoder_norm,   &Epoch::seconds};

Json kept_json(const FitRun& run) {
  Json epochs = Json::array();
  for (const Epoch& epoch : run.epochs) epochs.push_back(exact_record(epoch, numbers));
  return epochs;
}

std::vector<Epoch> epochs_of(const Json& kept) {
  std::vector<Epoch> epochs;
  for (const Json& json : kept) epochs.push_back(exact_record_of(json, numbers));
  return epochs;
}

template <class T>
class Fits {
 public:
  explicit Fits(const FitSettings& settings)
      : settings_(settings),
        train_(load_dataset<T>(settings.train)),
        test_(load_dataset<T>(settings.test)),
        n_samples_(static_cast<std::int64_t>(train_.view().n_samples)) {
    if (train_.view().dim != test_.view().dim)
      throw InvalidArgument("--test", fmt::format("{} has tokens of dimension {} (the training set has {})",
                                                  settings.test, test_.view().dim, train_.view().dim));
    if (settings.batch_size > n_samples_)
      throw InvalidArgument("--batch-size",
                            fmt::format("{} (need a whole number from 1 to {}, the samples of the "
                                        "training set)",
                                        settings.batch_size, n_samples_));
  }

  FitResult run(const std::function<void()>& start) {
    FitResult result;
    result.n_train = train_.view().n_samples;
    result.n_test = test_.view().n_samples;
    result.dim = train_.view().dim;
    const auto n_seeds = static_cast<std::size_t>(settings_.n_seeds);
    result.runs.assign(settings_.rules.size(), std::vector<FitRun>(n_seeds));
    start();
    const std::size_t n_runs = settings_.rules.size() * n_seeds;
    KeptRuns kept(settings_.keep);
    const Json data = kept.is_on() ? data_identity() : Json();
    std::vector<std::size_t> left;
    for (std::size_t k = 0; k < n_runs; ++k) {
      FitRun& run = result.runs[k / n_seeds][k % n_seeds];
      run.seed = settings_.seed + k % n_seeds;
      if (!kept.find(what_of(data, k / n_seeds, run.seed),
                     [&](const Json& json) { run.epochs = epochs_of(json); }))
        left.push_back(k);
    }
    kept.note_found(n_runs);
    RunProgress progress("fit", left.size(), settings_.n_epochs * steps_of_an_epoch());
    if (!left.empty()) make_runs(result, left, progress, kept, data);
    result.interrupted = interrupted();
    return result;
  }

 private:
  // A run and what the trainer looks at.
  struct Made {
    Made(std::size_t of_rule, FitRun& to, RunProgress& all) : rule(of_rule), run(to), progress(all) {}
    const std::size_t rule;
    FitRun& run;
    RunProgress::Run progress;
    std::unique_ptr<Workspace> train_space, test_space;
    Evaluation<T> on_train, on_test;
    TrainerOptions options;
    TrainState<T> state;
  };

  // The runs `left`, by number, several at a time; those whose steps see all samples side by side.
  void make_runs(FitResult& result, const std::vector<std::size_t>& left, RunProgress& progress,
                 KeptRuns& kept, const Json& data) const {
    const auto n_seeds = static_cast<std::size_t>(settings_.n_seeds);
    const auto model = make_attention_model(train_.view(), layer());
    const auto test = make_attention_model(test_.view(), layer());
    std::vector<std::unique_ptr<Made>> made(left.size());
    train_many<T>({.n_runs = left.size(),
                   .make = [&](std::size_t j) -> std::optional<ManyRun<T>> {
                     if (interrupted()) return std::nullopt;
                     const std::size_t rule = left[j] / n_seeds;
                     FitRun& run = result.runs[rule][left[j] % n_seeds];
                     made[j] = std::make_unique<Made>(rule, run, progress);
                     return make_run(*made[j], *model, *test);
                   },
                   .done =
                       [&](std::size_t j, const TrainSummary&) {
                         const std::unique_ptr<Made> one = std::move(made[j]);
                         if (!interrupted())
                           kept.keep(what_of(data, one->rule, one->run.seed), kept_json(one->run));
                         one->progress.finish();
                       }},
                  settings_.n_threads);
  }

  std::int64_t steps_of_an_epoch() const { return (n_samples_ - 1) / settings_.batch_size + 1; }

  AttentionOptions layer() const {
    AttentionOptions options = settings_.layer;
    options.train_decoder = true;
    return options;
  }

  Json data_identity() const {
    return {{"train", make_attention_model(train_.view(), layer())->identity()},
            {"test", make_attention_model(test_.view(), layer())->identity()}};
  }

  // What the results of a run depend on. The models tell their data, loss and L*.
  Json what_of(const Json& data, std::size_t rule, std::uint64_t seed) const {
    return {{"softstep", version},
            {"models", data},
            {"init", exact_number(settings_.init_std)},
            {"seed", seed},
            {"rule", settings_.rules[rule].rule},
            {"options", exact_options(settings_.rules[rule])},
            {"epochs", settings_.n_epochs},
            {"batch_size", settings_.batch_size},
            {"precision", settings_.precision},
            {"isa", settings_.layer.isa}};
  }

  // Measures the start, and has the trainer measure after every epoch.
  ManyRun<T> make_run(Made& made, const Model<T>& model, const Model<T>& test) const {
    TrainerOptions& options = made.options;
    options.rules = {settings_.rules[made.rule]};
    options.batch_size = static_cast<std::size_t>(settings_.batch_size);
    options.batch_seed = made.run.seed;
    options.trace_rows_per_decade = 0;
    options.n_steps = settings_.n_epochs * steps_of_an_epoch();
    options.progress = [&made](const Progress& now) {
      made.progress.at_step(now.step);
      return !interrupted();
    };
    options.checkpoint_steps = steps_of_an_epoch();
    options.checkpoint = [this, &made, &model, &test](const Progress& now) {
      // A run that ends early has its last checkpoint within an epoch.
      if (now.step % steps_of_an_epoch() == 0) made.run.epochs.push_back(measure(made, model, test));
    };
    made.train_space = model.make_workspace();
    made.test_space = test.make_workspace();
    made.state = normal_state(model, settings_.init_std, made.run.seed);
    made.run.epochs.push_back(measure(made, model, test));
    return {&model, &made.state, &options};
  }

  static Epoch measure(Made& made, const Model<T>& model, const Model<T>& test) {
    const TrainState<T>& state = made.state;
    const std::vector<std::span<const T>> at = views_of(state.blocks);
    model.evaluate(at, made.on_train, *made.train_space, want_loss);
    test.evaluate(at, made.on_test, *made.test_space, want_loss);
    return {state.step,
            made.on_train.loss,
            made.on_train.accuracy,
            made.on_test.loss,
            made.on_test.accuracy,
            frobenius_norm(state.blocks[0]),
            frobenius_norm(state.blocks[1]),
            state.seconds};
  }

  const FitSettings& settings_;
  Dataset<T> train_, test_;
  std::int64_t n_samples_;
};

}  // namespace

FitResult run_fits(const FitSettings& settings, const std::function<void()>& start) {
  if (settings.precision == "f64") return Fits<double>(settings).run(start);
  return Fits<float>(settings).run(start);
}

}  // namespace softstep::program
