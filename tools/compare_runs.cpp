#include "compare_runs.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "interrupt.h"
#include "run_progress.h"
#include "softstep/metrics.h"
#include "softstep/train_many.h"

namespace softstep::program {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class T>
class Runs {
 public:
  Runs(const CompareSettings& settings, CompareResult& result)
      : settings_(settings), result_(result), sources_(settings.from_file ? 1 : result.seeds.size()) {}

  /// Data of the first seed; those of every other one are made when its first run starts.
  void prepare_first() {
    sources_[0].data = make_data(0);
    const BatchView<T>& view = sources_[0].data.view();
    result_.n_samples = view.n_samples;
    result_.dim = view.dim;
    result_.min_tokens = std::numeric_limits<std::size_t>::max();
    for (std::size_t i = 0; i < view.n_samples; ++i) {
      result_.min_tokens = std::min(result_.min_tokens, view.tokens_of(i));
      result_.max_tokens = std::max(result_.max_tokens, view.tokens_of(i));
    }
    settings_.init.weights(view.dim, settings_.seed(0));  // a weights file of another size shows here
  }

  void run_all() {
    const std::size_t n_rules = settings_.rules.size();
    const std::size_t n_runs = n_rules * result_.seeds.size();
    for (Source& source : sources_) source.n_left = n_runs / sources_.size();
    RunProgress progress(settings_.command, n_runs, settings_.run.n_steps);
    std::vector<std::unique_ptr<Made>> made(n_runs);
    const auto start = std::chrono::steady_clock::now();
    train_many<T>({.n_runs = n_runs,
                   .make = [&](std::size_t i) -> std::optional<ManyRun<T>> {
                     const std::size_t k = i / n_rules;
                     Source& source = sources_[settings_.from_file ? 0 : k];
                     if (interrupted()) return std::nullopt;
                     std::call_once(source.prepared, [&] { prepare(source, k); });
                     if (interrupted()) return std::nullopt;
                     made[i] = std::make_unique<Made>(source, result_.seeds[k], i % n_rules, progress);
                     return make_run(*made[i]);
                   },
                   .done =
                       [&](std::size_t i, const TrainSummary& summary) {
                         const std::unique_ptr<Made> run = std::move(made[i]);
                         note(*run, summary);
                         if (--run->source.n_left == 0) run->source.release();
                         run->progress.finish();
                       }},
                  settings_.n_threads);
    result_.seconds = seconds_since(start);
    result_.interrupted = interrupted();
    result_.n_runs = n_runs;
    for (const CompareSeed& seed : result_.seeds)
      for (const CompareRun& run : seed.runs) result_.n_finished += run.finished ? 1 : 0;
    // What a run was compared with is told by its seed's first run.
    std::erase_if(result_.seeds, [](const CompareSeed& seed) {
      return seed.reference.is_null() || std::none_of(seed.runs.begin(), seed.runs.end(),
                                                      [](const CompareRun& run) { return run.finished; });
    });
  }

 private:
  // A data set with its max-margin direction: one for each seed, or one file for all. Dropped after its last
  // run.
  struct Source {
    std::once_flag prepared;
    Dataset<T> data;
    std::unique_ptr<const AttentionModel<T>> model;
    MaxMarginResult reference;
    double solve_seconds = 0.0;
    std::atomic<std::size_t> n_left{0};

    void release() {
      model.reset();
      data = {};
      reference = {};
    }
  };
  // A run and what the trainer looks at.
  struct Made {
    Made(Source& from, CompareSeed& of, std::size_t rule, RunProgress& all)
        : source(from), seed(of), r(rule), progress(all) {}
    Source& source;
    CompareSeed& seed;
    const std::size_t r;
    RunProgress::Run progress;
    TrainerOptions options;
    TrainState<T> state;
  };

  Dataset<T> make_data(std::size_t k) const {
    if (settings_.from_file) return load_data<T>(settings_.data);
    const Dataset<double> made =
        with_queries(generate(settings_.generator.with_seed(settings_.seed(k))), settings_.data);
    if constexpr (std::is_same_v<T, double>)
      return made;
    else
      return convert<T>(made);
  }

  void prepare(Source& source, std::size_t k) const {
    if (source.data.view().n_samples == 0) source.data = make_data(k);
    const auto start = std::chrono::steady_clock::now();
    MaxMarginOptions solver;
    solver.progress = [](std::size_t, double, double) { return !interrupted(); };
    source.reference = solve_max_margin(source.data.view(), solver);
    source.solve_seconds = seconds_since(start);
    source.model = make_attention_model(source.data.view(), settings_.layer);
  }

  ManyRun<T> make_run(Made& made) const {
    TrainerOptions& options = made.options;
    options.rules = {settings_.rules[made.r]};
    options.n_steps = settings_.run.n_steps;
    options.master_weights = settings_.run.master_weights();
    options.form = parse_form(settings_.run.form);
    options.trace_rows_per_decade = static_cast<int>(settings_.run.trace_rows_per_decade);
    if (is_direction(made.source.reference)) {
      options.references = {made.source.reference.weights};
      options.thresholds.assign(std::begin(thresholds), std::end(thresholds));
    }
    CompareRun& run = made.seed.runs[made.r];
    options.trace = [&run](const TraceRecord& record) {
      run.trace.push_back(record);
      return !interrupted();
    };
    options.progress = [&progress = made.progress](const Progress& now) {
      progress.at_step(now.step);
      return !interrupted();
    };
    const AttentionModel<T>& model = *made.source.model;
    made.state = initial_state(model, {settings_.init.weights(model.batch().dim, made.seed.seed)},
                               options.master_weights);
    return {&model, &made.state, &options};
  }

  void note(const Made& made, const TrainSummary& summary) const {
    const AttentionModel<T>& model = *made.source.model;
    CompareSeed& seed = made.seed;
    CompareRun& run = seed.runs[made.r];
    run.summary = summary;
    run.finished = summary.status != TrainStatus::interrupted;
    const TokenScores& scores = model.token_scores();
    run.margin = normalized_margin(model.batch(), scores, made.state.values(0));
    if (made.r != 0) return;
    seed.unique_optimal_tokens = scores.not_unique.empty();
    seed.reference = reference_json(made.source.reference);
    seed.reference["seconds"] = number(made.source.solve_seconds);
    seed.reference["unique_optimal_tokens"] = seed.unique_optimal_tokens;
  }

  const CompareSettings& settings_;
  CompareResult& result_;
  std::vector<Source> sources_;
};

template <class T>
void run_as(const CompareSettings& settings, CompareResult& result, const std::function<void()>& start) {
  Runs<T> runs(settings, result);
  runs.prepare_first();
  start();
  runs.run_all();
}

}  // namespace

CompareResult run_compare(const CompareSettings& settings, const std::function<void()>& start) {
  CompareResult result;
  result.seeds.resize(static_cast<std::size_t>(settings.n_seeds));
  for (std::size_t k = 0; k < result.seeds.size(); ++k) {
    result.seeds[k].seed = settings.seed(k);
    result.seeds[k].runs.resize(settings.rules.size());
  }
  if (settings.run.precision == "f64")
    run_as<double>(settings, result, start);
  else
    run_as<float>(settings, result, start);
  return result;
}

}  // namespace softstep::program
