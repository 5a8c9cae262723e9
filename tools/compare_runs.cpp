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

#include "compare_kept.h"
#include "interrupt.h"
#include "kept_runs.h"
#include "parallel.h"
#include "run_progress.h"
#include "softstep/metrics.h"
#include "softstep/train_many.h"
#include "softstep/version.h"

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
    KeptRuns kept(settings_.keep);
    if (kept.is_on()) take_kept(kept);
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < n_runs; ++i) {
      if (result_.seeds[i / n_rules].runs[i % n_rules].finished) continue;
      left.push_back(i);
      ++source_of(i / n_rules).n_left;
    }
    result_.n_kept = n_runs - left.size();
    RunProgress progress(settings_.command, left.size(), settings_.run.n_steps);
    std::vector<std::unique_ptr<Made>> made(left.size());
    const auto start = std::chrono::steady_clock::now();
    if (!left.empty())
      train_many<T>({.n_runs = left.size(),
                     .make = [&](std::size_t j) -> std::optional<ManyRun<T>> {
                       const std::size_t k = left[j] / n_rules;
                       Source& source = source_of(k);
                       if (interrupted()) return std::nullopt;
                       std::call_once(source.prepared, [&] { prepare(source, k); });
                       if (interrupted()) return std::nullopt;
                       made[j] =
                           std::make_unique<Made>(source, result_.seeds[k], left[j] % n_rules, progress);
                       return make_run(*made[j]);
                     },
                     .done =
                         [&](std::size_t j, const TrainSummary& summary) {
                           const std::unique_ptr<Made> run = std::move(made[j]);
                           note(*run, summary, kept);
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
    std::string identity;  // of its model; with --keep
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

  Source& source_of(std::size_t k) { return sources_[settings_.from_file ? 0 : k]; }

  // What the results of a run depend on. The model tells its data, loss and L*.
  Json what_of(const std::string& model, std::size_t k, std::size_t r) const {
    const RunOptions& run = settings_.run;
    Json init = exact_number(settings_.init.std);
    if (settings_.init.kind == Init::Kind::file) {
      const std::vector<double> weights = settings_.init.weights(result_.dim, 0);
      init = checksum({reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(double)});
    }
    return {{"softstep", version},
            {"model", model},
            {"init", init},
            {"seed", settings_.seed(k)},
            {"rule", settings_.rules[r].rule},
            {"options", exact_options(settings_.rules[r])},
            {"steps", run.n_steps},
            {"trace_rows_per_decade", run.trace_rows_per_decade},
            {"precision", run.precision},
            {"master", run.master},
            {"form", run.form},
            {"isa", settings_.layer.isa}};
  }

  // Takes the runs that are there. Data sets are made for it, and dropped again but for the first.
  void take_kept(KeptRuns& kept) {
    parallel_for(sources_.size(), settings_.n_threads, [&](std::size_t s) {
      if (interrupted()) return;
      const Dataset<T> own = s == 0 ? Dataset<T>() : make_data(s);
      const BatchView<T>& view = s == 0 ? sources_[0].data.view() : own.view();
      sources_[s].identity = make_attention_model(view, settings_.layer)->identity();
      for (std::size_t k = s; k < (settings_.from_file ? result_.seeds.size() : s + 1); ++k)
        for (std::size_t r = 0; r < settings_.rules.size(); ++r)
          kept.find(what_of(sources_[s].identity, k, r), [&](const Json& run) {
            CompareSeed& seed = result_.seeds[k];
            CompareRun read = compare_run_of(run.at("run"));
            const bool unique = run.at("reference").at("unique_optimal_tokens").get<bool>();
            // The first that is there, be it the first rule's or not: where that is interrupted the others
            // are told.
            if (seed.reference.is_null()) {
              seed.reference = run.at("reference");
              seed.unique_optimal_tokens = unique;
            }
            seed.runs[r] = std::move(read);
          });
    });
    kept.note_found(settings_.rules.size() * result_.seeds.size());
  }

  Dataset<T> make_data(std::size_t k) const {
    if (settings_.from_file) return load_data<T>(settings_.data);
    Dataset<double> made =
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

  void note(const Made& made, const TrainSummary& summary, KeptRuns& kept) const {
    const AttentionModel<T>& model = *made.source.model;
    CompareSeed& seed = made.seed;
    CompareRun& run = seed.runs[made.r];
    run.summary = summary;
    run.finished = summary.status != TrainStatus::interrupted;
    const TokenScores& scores = model.token_scores();
    run.margin = normalized_margin(model.batch(), scores, made.state.values(0));
    const bool is_kept = run.finished && kept.is_on();
    if (made.r != 0 && !is_kept) return;
    Json reference = reference_json(made.source.reference);
    reference["seconds"] = number(made.source.solve_seconds);
    reference["unique_optimal_tokens"] = scores.not_unique.empty();
    if (is_kept)
      kept.keep(what_of(made.source.identity, made.seed.seed - settings_.seed(0), made.r),
                {{"run", kept_json(run)}, {"reference", reference}});
    if (made.r != 0) return;
    seed.unique_optimal_tokens = scores.not_unique.empty();
    seed.reference = std::move(reference);
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
