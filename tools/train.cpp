// softstep train: one run of one rule on one data set.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "interrupt.h"
#include "max_margin_progress.h"
#include "options.h"
#include "output.h"
#include "run_report.h"
#include "softstep/error.h"
#include "softstep/metrics.h"
#include "trace_rows.h"
#include "train_options.h"

namespace softstep::program {

namespace {

using Options = TrainOptions;

struct Reference {
  std::vector<double> weights;  ///< empty: no direction to compare with
  Json json;                    ///< what is said about it
  std::vector<std::string> notes;
  bool interrupted = false;
};

template <class T>
Reference find_reference(const Options& options, const BatchView<T>& batch, int n_threads) {
  Reference reference;
  if (options.reference == "none") {
    reference.json = nullptr;
  } else if (options.reference == "solve") {
    MaxMarginOptions solver;
    solver.n_threads = n_threads;
    ProgressLine line;
    MaxMarginResult solved = solve_with_progress(batch, solver, line);
    reference.json = reference_json(solved);
    reference.interrupted = solved.status == MaxMarginStatus::interrupted;
    if (is_direction(solved)) {
      if (solved.status == MaxMarginStatus::max_sweeps)
        reference.notes.push_back(
            "the max-margin solver ran out of sweeps: its direction has a duality gap of " +
            rounded(solved.duality_gap, 2));
      if (solved.status == MaxMarginStatus::at_rounding)
        reference.notes.push_back(
            "rounding keeps the max-margin solver from its tolerance: its direction has a duality gap of " +
            rounded(solved.duality_gap, 2));
      reference.weights = std::move(solved.weights);
    } else {
      reference.notes.push_back(std::string("no direction to compare with: the max-margin problem is ") +
                                to_string(solved.status));
    }
  } else {
    reference.weights = load_weights(options.reference, batch.dim);
    const double norm = frobenius_norm(reference.weights);
    if (!(norm > 0.0))
      throw InvalidArgument("--reference", options.reference + " is zero: it has no direction");
    reference.json = Json{{"status", "file"}, {"file", options.reference}, {"norm", number(norm)}};
  }
  return reference;
}

template <class T>
TrainState<T> first_state(const Options& options, const AttentionModel<T>& model,
                          const TrainerOptions& trainer) {
  if (options.resume.empty())
    return initial_state(model, {parse_init(options.run.init).weights(model.batch().dim, options.run.seed)},
                         options.run.master_weights());
  TrainState<T> state = load_state<T>(options.resume, model, trainer);
  const std::string saved = state.has_masters() ? "float64" : "working";
  if (options.master->count() != 0 && sizeof(T) < sizeof(double) && options.run.master != saved)
    throw InvalidArgument(
        "--master", options.run.master + ", but the state in " + options.resume + " was saved with " + saved);
  return state;
}

template <class T>
int train_as(const Options& options, const RuleSettings& rule, const AttentionOptions& layer) {
  const Dataset<T> data = load_data<T>(options.data);
  const std::size_t dim = data.view().dim;
  const AttentionModel<T> model(data.view(), layer);
  TrainerOptions trainer;
  trainer.rules = {rule};
  trainer.n_steps = options.run.n_steps;
  trainer.form = parse_form(options.run.form);
  trainer.trace_rows_per_decade = static_cast<int>(options.run.trace_rows_per_decade);
  TrainState<T> state = first_state<T>(options, model, trainer);
  // The state's own way of keeping weights, which a resumed run takes over.
  trainer.master_weights = state.has_masters() ? MasterWeights::float64 : MasterWeights::working;
  catch_interrupts();
  Reference reference = find_reference<T>(options, data.view(), layer.n_threads);
  if (reference.interrupted) {
    note("interrupted before the first step; nothing was written");
    return interrupt_exit_code();
  }

  trainer.references = {reference.weights};
  trainer.stop_one_minus_cos = reference.weights.empty() ? 0.0 : options.stop_one_minus_cos;
  TrainProgress progress(state.step, trainer.n_steps);
  TraceRows trace(options.trace, trace_columns);
  trainer.trace = [&](const TraceRecord& record) {
    trace.add(trace_row(record));
    return progress.at_row(record);
  };
  trainer.progress = [&](const Progress& now) { return progress.at_step(now.step); };
  const TrainSummary summary = train(model, state, trainer);
  progress.clear();

  const std::vector<double> weights = state.values(0);
  const TokenScores& scores = model.token_scores();
  const double margin = normalized_margin(data.view(), scores, weights);
  const bool wide = sizeof(T) == sizeof(double) || state.has_masters();
  trace.finish();
  if (!options.out.empty())
    try_output([&] { save_weights(options.out, weights, dim, wide ? StoredType::f64 : StoredType::f32); });
  if (!options.save_state.empty()) try_output([&] { save_state(options.save_state, model, state, trainer); });

  const std::string master = state.has_masters() ? "float64" : "working";
  Json json;
  json["status"] = to_string(summary.status);
  json["rule"] = rule.rule;
  json["rule_options"] = rule_values(rule);
  json["precision"] = options.run.precision;
  json["master"] = master;
  json["form"] = to_string(summary.form);
  json["token_storage"] = options.run.token_storage;
  json["isa"] = model.isa();
  json["threads"] = layer.n_threads;
  json["threads_used"] = summary.threads_used;
  add_run(json, summary, margin);
  json["optimal_loss"] = number(summary.last.optimal_loss);
  json["loss_function"] = options.run.loss;
  json["lstar"] = options.run.lstar;
  json["reference"] = reference.json;
  json["unique_optimal_tokens"] = scores.not_unique.empty();
  json["data"] = options.data.file;

  const TraceRecord& last = summary.last;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"status", to_string(summary.status)},
      {"rule", rule_label(rule)},
      {"on", options.run.precision + ", master weights " + master + ", " + to_string(summary.form) + ", " +
                 model.isa() + ", threads " + std::to_string(layer.n_threads)},
      {"steps", std::to_string(summary.steps) + " in " + rounded(summary.seconds, 4) + " s (" +
                    rounded(steps_per_second(summary), 4) + " steps/s)" +
                    (last.step != summary.steps ? ", now at step " + std::to_string(last.step) : "")},
      {"loss", rounded(last.loss, 6)},
      {"log10(L - L*)", rounded(last.log10_gap, 6)},
      {"norm of W", rounded(last.weight_norm, 6)},
      {"log10 norm of G", rounded(last.log10_gradient_norm, 6)},
      {"1 - cos(W, W_mm)", rounded(last.one_minus_cos, 4)},
      {"angle", rounded(last.angle, 4) + (std::isnan(last.angle) ? "" : " rad")},
      {"margin of W", rounded(margin, 6)},
      {"optimal attention", "at least " + rounded(last.min_optimal_attention, 6) + ", log10(1 - it) " +
                                rounded(last.log10_one_minus_optimal_attention, 6)}};
  publish(TraceRows::is_printed(options.trace) ? "" : listing(rows), json, options.json);

  for (const std::string& text : reference.notes) note(text);
  if (!scores.not_unique.empty())
    note("the optimal tokens are not unique: " + std::to_string(scores.not_unique.size()) +
         " samples have two tokens of the same best score");
  if (summary.status == TrainStatus::interrupted) return interrupt_exit_code();
  return ended_well(summary.status) ? exit_success : exit_ending;
}

int run_train(const Options& options) {
  const RuleSettings rule = options.rule.settings();
  AttentionOptions layer = options.run.layer(resolved_threads(options.threads));
  if (!options.resume.empty() && options.init->count() != 0)
    throw InvalidArgument("--init", "does not go with --resume: the state has its weights");
  const Init init = parse_init(options.run.init);
  if (options.seed->count() != 0 && init.kind != Init::Kind::normal && options.model.batch_size == 0)
    throw InvalidArgument("--seed", "only goes with --init normal:STD or --batch-size");
  if (options.stop_one_minus_cos > 0.0 && options.reference == "none")
    throw InvalidArgument("--stop-one-minus-cos", "needs a reference, and --reference is none");
  options.model.check();

  Outputs outputs;
  outputs.add_input("--data", options.data.file);
  outputs.add_input("--decoder", options.data.decoder);
  outputs.add_input("--init", init.file);
  if (options.reference != "solve" && options.reference != "none")
    outputs.add_input("--reference", options.reference);
  if (TraceRows::is_printed(options.trace) && options.json == "-")
    throw InvalidArgument("--trace", "- does not go with --json -: only one of the two can be printed");
  if (!TraceRows::is_printed(options.trace)) outputs.add("--trace", options.trace);
  outputs.add("--out", options.out);
  // A state may be continued in place.
  outputs.add("--save-state", options.save_state);
  if (options.json != "-") outputs.add("--json", options.json);
  if (options.model.any()) return run_train_model(options, rule, layer);
  return options.run.precision == "f64" ? train_as<double>(options, rule, layer)
                                        : train_as<float>(options, rule, layer);
}

}  // namespace

Command add_train(CLI::App& program) {
  const auto options = std::make_shared<TrainOptions>();
  CLI::App* app =
      program.add_subcommand("train", "Train the attention weights on a data set with one step rule");
  add_data(*app, options->data)->required();
  add_rule(*app, options->rule);
  add_run_options(*app, options->run);
  options->lstar = app->get_option("--lstar");
  add_model_flags(*app, options->model);
  options->init = app->get_option("--init");
  options->master = app->get_option("--master");
  options->seed = add_seed(*app, options->run.seed, "Seed of --init normal:STD and of --batch-size");
  app->add_option("--reference", options->reference,
                  "Direction to compare with: the max-margin solution, none, or a weights file")
      ->type_name("solve|none|FILE")
      ->default_str(options->reference);
  add_real(*app, "--stop-one-minus-cos", options->stop_one_minus_cos, 0.0, 2.0,
           "Stop (status converged) when 1 - cos falls to this; 0: never");
  add_threads(*app, options->threads, "Threads; the run has the same bits for any number");
  add_path(*app, "--trace", options->trace, "Write the trace to FILE as CSV; - prints it instead of text");
  add_path(*app, "--out", options->out, "Write the final weights, tensor `weights` [d,d]");
  add_path(*app, "--save-state", options->save_state, "Write the final state, to go on from with --resume");
  add_path(*app, "--resume", options->resume,
           "Go on from a saved state (same rule, precision and data) for --steps further steps");
  add_json(*app, options->json);
  app->footer(
      "Step rules:\n" + rule_table() +
      "\n"
      "Examples:\n"
      "  softstep train --data data.safetensors --rule ngd --step-size 1 --steps 10000 --trace trace.csv\n"
      "  softstep train --data data.safetensors --rule polyak --precision f32 --steps 1e5 --out "
      "W.safetensors\n"
      "  softstep train --data data.safetensors --rule gd:step-size=20 --init normal:0.1 --seed 3 --json -\n"
      "  softstep train --data data.safetensors --rule ngd --steps 1000 --save-state S.safetensors\n"
      "  softstep train --data data.safetensors --rule ngd --steps 9000 --resume S.safetensors\n"
      "  softstep train --data data.safetensors --joint --rule ngd:schedule-power=0.667 --steps 1e5 \\\n"
      "      --trace joint.csv\n"
      "  softstep train --data data.safetensors --factored 4 --init normal:0.1 --rule ngd --steps 1e4\n"
      "Ctrl-C ends a run early: its status is interrupted, and everything that was asked for is written.");
  return {app, [options] { return run_train(*options); }, "the run ended as not_finite or gap_not_positive"};
}

}  // namespace softstep::program
