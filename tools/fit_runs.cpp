#include "fit_runs.h"

#include <fmt/format.h>

#include <array>

#include "interrupt.h"
#include "kept_runs.h"
#include "options.h"
#include "parallel.h"
#include "run_progress.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/metrics.h"
#include "softstep/trainer.h"
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
    parallel_for(left.size(), settings_.n_threads, [&](std::size_t j) {
      if (interrupted()) return;
      const std::size_t rule = left[j] / n_seeds;
      FitRun& run = result.runs[rule][left[j] % n_seeds];
      RunProgress::Run shown(progress);
      run_one(rule, run, shown);
      if (!interrupted()) kept.keep(what_of(data, rule, run.seed), kept_json(run));
      shown.finish();
    });
    result.interrupted = interrupted();
    return result;
  }

 private:
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

  void run_one(std::size_t rule, FitRun& run, RunProgress::Run& progress) const {
    const AttentionOptions options = layer();
    const auto model = make_attention_model(train_.view(), options);
    const auto test = make_attention_model(test_.view(), options);
    TrainerOptions trainer;
    trainer.rules = {settings_.rules[rule]};
    trainer.batch_size = static_cast<std::size_t>(settings_.batch_size);
    trainer.batch_seed = run.seed;
    trainer.trace_rows_per_decade = 0;
    trainer.n_steps = steps_of_an_epoch();
    trainer.progress = [&progress](const Progress& now) {
      progress.at_step(now.step);
      return !interrupted();
    };
    TrainState<T> state = normal_state(*model, settings_.init_std, run.seed);
    for (std::int64_t epoch = 0; epoch <= settings_.n_epochs && !interrupted(); ++epoch) {
      if (epoch > 0 && train(*model, state, trainer).status != TrainStatus::max_iterations) return;
      run.epochs.push_back(measure(*model, *test, state));
    }
  }

  static Epoch measure(Model<T>& model, Model<T>& test, const TrainState<T>& state) {
    Evaluation<T> on_train, on_test;
    model.evaluate(state.blocks, on_train, want_loss);
    test.evaluate(state.blocks, on_test, want_loss);
    return {state.step,
            on_train.loss,
            on_train.accuracy,
            on_test.loss,
            on_test.accuracy,
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
