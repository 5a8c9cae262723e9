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
    const double norm = frobenius_norm(reference.weights.data(), reference.weights.size());
    if (!(norm > 0.0))
      throw InvalidArgument("--reference", options.reference + " is zero: it has no direction");
    reference.json = Json{{"status", "file"}, {"file", options.reference}, {"norm", number(norm)}};
  }
  return reference;
}

template <class T>
TrainState<T> first_state(const Options& options, std::size_t dim, const RuleSettings& rule) {
  const bool master_given = options.master->count() != 0;
  if (options.resume.empty())
    return initial_state<T>(parse_init(options.run.init).weights(dim, options.run.seed).data(), dim,
                            options.run.master_weights());
  TrainState<T> state = load_state<T>(options.resume, dim, rule);
  const std::string saved = state.master_weights.empty() ? "working" : "float64";
  if (master_given && sizeof(T) < sizeof(double) && options.run.master != saved)
    throw InvalidArgument(
        "--master", options.run.master + ", but the state in " + options.resume + " was saved with " + saved);
  return state;
}

template <class T>
std::vector<double> final_weights(const TrainState<T>& state) {
  if (!state.master_weights.empty()) return state.master_weights;
  return std::vector<double>(state.weights.begin(), state.weights.end());
}

template <class T>
int train_as(const Options& options, const RuleSettings& rule, const ObjectiveOptions& objective_options) {
  const Dataset<T> data = load_data<T>(options.data);
  const std::size_t dim = data.view().dim;
  Objective<T> objective(data.view(), objective_options);
  TrainState<T> state = first_state<T>(options, dim, rule);
  catch_interrupts();
  Reference reference = find_reference<T>(options, data.view(), objective_options.n_threads);
  if (reference.interrupted) {
    note("interrupted before the first step; nothing was written");
    return interrupt_exit_code();
  }

  TrainerOptions trainer;
  trainer.rule = rule;
  trainer.n_steps = options.run.n_steps;
  // The state's own way of keeping weights, which a resumed run takes over.
  trainer.master_weights = state.master_weights.empty() ? MasterWeights::working : MasterWeights::float64;
  trainer.form = parse_form(options.run.form);
  trainer.trace_rows_per_decade = static_cast<int>(options.run.trace_rows_per_decade);
  trainer.reference = reference.weights;
  trainer.stop_one_minus_cos = reference.weights.empty() ? 0.0 : options.stop_one_minus_cos;
  TrainProgress progress(state.step, trainer.n_steps);
  std::string trace = std::string(trace_columns) + "\n";
  trainer.trace = [&](const TraceRecord& record) {
    trace += trace_row(record) + "\n";
    return progress.at_row(record);
  };
  trainer.progress = [&](std::int64_t step) { return progress.at_step(step); };
  const TrainSummary summary = train(objective, state, trainer);
  progress.clear();

  const std::vector<double> weights = final_weights(state);
  const TokenScores& scores = objective.token_scores();
  const double margin = normalized_margin(data.view(), scores, weights.data());
  const bool wide = sizeof(T) == sizeof(double) || !state.master_weights.empty();
  if (!options.trace.empty()) write_file(options.trace, trace);
  if (!options.out.empty()) save_weights(options.out, weights, dim, wide ? StoredType::f64 : StoredType::f32);
  if (!options.save_state.empty()) save_state(options.save_state, state, rule);

  const std::string master = state.master_weights.empty() ? "working" : "float64";
  Json json;
  json["status"] = to_string(summary.status);
  json["rule"] = rule.rule;
  json["rule_options"] = rule_values(rule);
  json["precision"] = options.run.precision;
  json["master"] = master;
  json["form"] = to_string(summary.form);
  json["token_storage"] = options.run.token_storage;
  json["isa"] = objective.isa();
  json["threads"] = objective_options.n_threads;
  json["threads_used"] = summary.threads_used;
  add_run(json, summary, margin);
  json["optimal_loss"] = number(objective.optimal_loss());
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
                 objective.isa() + ", threads " + std::to_string(objective_options.n_threads)},
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
  publish(listing(rows), json, options.json);

  for (const std::string& text : reference.notes) note(text);
  if (!scores.not_unique.empty())
    note("the optimal tokens are not unique: " + std::to_string(scores.not_unique.size()) +
         " samples have two tokens of the same best score");
  if (summary.status == TrainStatus::interrupted) return interrupt_exit_code();
  return ended_well(summary.status) ? exit_success : exit_ending;
}

int run_train(const Options& options) {
  const RuleSettings rule = options.rule.settings();
  ObjectiveOptions objective = options.run.objective(resolved_threads(options.threads));
  if (!options.resume.empty() && options.init->count() != 0)
    throw InvalidArgument("--init", "does not go with --resume: the state has its weights");
  const Init init = parse_init(options.run.init);
  if (options.seed->count() != 0 && init.kind != Init::Kind::normal && options.model.batch_size == 0)
    throw InvalidArgument("--seed", "only goes with --init normal:STD or --batch-size");
  if (!(options.stop_one_minus_cos >= 0.0 && options.stop_one_minus_cos <= 2.0))
    throw InvalidArgument("--stop-one-minus-cos", shortest(options.stop_one_minus_cos) + " (need 0 to 2)");
  if (options.stop_one_minus_cos > 0.0 && options.reference == "none")
    throw InvalidArgument("--stop-one-minus-cos", "needs a reference, and --reference is none");
  options.model.check();

  Outputs outputs;
  outputs.add_input("--data", options.data.file);
  outputs.add_input("--decoder", options.data.decoder);
  outputs.add_input("--init", init.file);
  if (options.reference != "solve" && options.reference != "none")
    outputs.add_input("--reference", options.reference);
  outputs.add("--trace", options.trace);
  outputs.add("--out", options.out);
  // A state may be continued in place.
  outputs.add("--save-state", options.save_state);
  if (options.json != "-") outputs.add("--json", options.json);
  if (options.model.any()) return run_train_model(options, rule, objective);
  return options.run.precision == "f64" ? train_as<double>(options, rule, objective)
                                        : train_as<float>(options, rule, objective);
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
  options->seed = add_seed(*app, options->run.seed, "Seed of --init normal:STD");
  app->add_option("--reference", options->reference,
                  "Direction to compare with: the max-margin solution, none, or a weights file")
      ->type_name("solve|none|FILE")
      ->default_str(options->reference);
  add_real(*app, "--stop-one-minus-cos", options->stop_one_minus_cos,
           "Stop (status converged) when 1 - cos falls to this; 0: never");
  add_threads(*app, options->threads, "Threads; the run has the same bits for any number");
  app->add_option("--trace", options->trace, "Write the trace as CSV")->type_name("FILE");
  app->add_option("--out", options->out, "Write the final weights, tensor `weights` [d,d]")
      ->type_name("FILE");
  app->add_option("--save-state", options->save_state, "Write the final state, to go on from with --resume")
      ->type_name("FILE");
  app->add_option("--resume", options->resume,
                  "Go on from a saved state (same rule, precision and data) for --steps further steps")
      ->type_name("FILE");
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
      "  softstep train --data data.safetensors --joint --rule ngd:schedule-power=0.667 --steps 1e5 --trace "
      "joint.csv\n"
      "  softstep train --data data.safetensors --factored 4 --init normal:0.1 --rule ngd --steps 1e4\n"
      "Ctrl-C ends a run early: status interrupted, everything that was asked for is written. Exit code 1 "
      "for "
      "not_finite and gap_not_positive.");
  return {app, [options] { return run_train(*options); }};
}

}  // namespace softstep::program
