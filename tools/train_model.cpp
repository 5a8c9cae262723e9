// softstep train --joint, --factored, --prompt, --model, --batch-size: models of several trained blocks.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "interrupt.h"
#include "output.h"
#include "run_report.h"
#include "softstep/error.h"
#include "trace_rows.h"
#include "train_options.h"

namespace softstep::program {

namespace {

template <class T>
Dataset<T> model_data(const TrainOptions& options) {
  if (!options.model.needs_no_decoder() || !options.data.decoder.empty()) return load_data<T>(options.data);
  return load_dataset<T>(options.data.file);
}

template <class T>
TrainState<T> first_state(const TrainOptions& options, const Model<T>& model, const TrainerOptions& trainer) {
  if (!options.resume.empty()) return load_state<T>(options.resume, model, trainer);
  const Init init = parse_init(options.run.init);
  if (init.kind == Init::Kind::file)
    throw InvalidArgument("--init", init.file +
                                        " is a file of W; models of several blocks start from zero or "
                                        "normal:STD, or go on with --resume");
  if (options.model.rank_option->count() != 0 && init.std == 0.0)
    throw InvalidArgument("--init", options.run.init +
                                        ": K = Q = 0 is a stationary point of the factored form "
                                        "(normal:STD leaves it)");
  return normal_state(model, init.std, options.run.seed, trainer.master_weights);
}

// Columns of the trace after those of every run.
std::string more_columns(const std::vector<Observable> observables) {
  std::string text = ",log10_loss,accuracy";
  for (std::size_t k = 1; k < observables.size(); ++k)
    text += "," + observables[k].name + "_norm,log10_" + observables[k].name + "_gradient_norm," +
            observables[k].name + "_one_minus_cos";
  return text;
}

std::string more_cells(const TraceRecord& record) {
  std::string text = "," + shortest(record.log10_loss) + "," + shortest(record.accuracy);
  for (const TraceRecord::Watched& watched : record.others)
    for (const double value : {watched.norm, watched.log10_gradient_norm, watched.one_minus_cos})
      text += "," + shortest(value);
  return text;
}

template <class T>
void save_observables(const std::string& path, const Model<T>& model, const TrainState<T>& state) {
  std::vector<NamedTensor> tensors;
  const StoredType type = sizeof(T) == 4 && state.masters[0].empty() ? StoredType::f32 : StoredType::f64;
  for (std::size_t k = 0; k < model.observables().size(); ++k) {
    const Observable observable = model.observables()[k];
    std::vector<std::size_t> shape = {observable.n_rows};
    if (observable.n_cols != 1) shape.push_back(observable.n_cols);
    tensors.push_back({observable.name, shape, observe(model, state, k), type});
  }
  for (std::size_t k = 0; k < state.blocks.size(); ++k) {
    const BlockShape& shape = model.blocks()[k];
    if (shape.name == "keys" || shape.name == "queries")
      tensors.push_back({shape.name, {shape.n_rows, shape.n_cols}, state.values(k), type});
  }
  save_tensors(path, tensors);
}

template <class T>
int train_as(const TrainOptions& options, const RuleSettings& rule, const AttentionOptions& objective) {
  const Dataset<T> data = model_data<T>(options);
  const auto model = make_model<T>(options.model, data.view(), objective);
  TrainerOptions trainer;
  trainer.rules = {rule};
  if (!options.model.decoder_rule.empty()) {
    trainer.rules.assign(model->blocks().size(), rule);
    trainer.rules.back() = parse_rule(options.model.decoder_rule);
  }
  trainer.normalization = parse_normalization(options.model.normalization);
  trainer.batch_size = static_cast<std::size_t>(options.model.batch_size);
  if (trainer.batch_size > data.view().n_samples)
    throw InvalidArgument("--batch-size",
                          fmt::format("{} (need a whole number from 1 to {}, the samples of the data)",
                                      trainer.batch_size, data.view().n_samples));
  trainer.batch_seed = options.run.seed;
  trainer.n_steps = options.run.n_steps;
  trainer.master_weights = options.run.master_weights();
  trainer.trace_rows_per_decade = static_cast<int>(options.run.trace_rows_per_decade);
  TrainState<T> state = first_state(options, *model, trainer);
  catch_interrupts();
  ModelReferences references;
  if (options.reference == "solve")
    references = solve_references(options.model, data.view(), objective.n_threads);
  else if (options.reference != "none")
    throw InvalidArgument("--reference", options.reference +
                                             " is a file of W; with models of several blocks "
                                             "solve or none");
  if (interrupted()) {
    note("interrupted before the first step; nothing was written");
    return interrupt_exit_code();
  }
  trainer.references = references.directions;
  const bool has_direction = !trainer.references.empty() && !trainer.references[0].empty();
  trainer.stop_one_minus_cos = has_direction ? options.stop_one_minus_cos : 0.0;
  TrainProgress progress(state.step, trainer.n_steps);
  TraceRows trace(options.trace, trace_columns + more_columns(model->observables()));
  trainer.trace = [&](const TraceRecord& record) {
    trace.add(trace_row(record) + more_cells(record));
    return progress.at_row(record);
  };
  trainer.progress = [&](const Progress& now) { return progress.at_step(now.step); };
  const TrainSummary summary = train(*model, state, trainer);
  progress.clear();
  trace.finish();
  if (!options.out.empty()) try_output([&] { save_observables(options.out, *model, state); });
  if (!options.save_state.empty())
    try_output([&] { save_state(options.save_state, *model, state, trainer); });

  const TraceRecord& last = summary.last;
  Json json;
  json["status"] = to_string(summary.status);
  json["model"] = options.model.name();
  if (options.model.rank != 0) json["rank"] = options.model.rank;
  json["rule"] = rule.rule;
  json["rule_options"] = rule_values(rule);
  if (options.model.joint) json["decoder_rule"] = rule_label(trainer.rules.back());
  json["normalization"] = options.model.normalization;
  json["batch_size"] = trainer.batch_size == 0 ? data.view().n_samples : trainer.batch_size;
  json["precision"] = options.run.precision;
  json["master"] = state.masters[0].empty() ? "working" : "float64";
  json["isa"] = model->isa();
  json["threads"] = objective.n_threads;
  add_run(json, summary, std::numeric_limits<double>::quiet_NaN());
  json["log10_loss"] = number(last.log10_loss);
  json["accuracy"] = number(last.accuracy);
  for (std::size_t k = 1; k < model->observables().size(); ++k) {
    const std::string name = model->observables()[k].name;
    json[name + "_norm"] = number(last.others[k - 1].norm);
    json["log10_" + name + "_gradient_norm"] = number(last.others[k - 1].log10_gradient_norm);
    json[name + "_one_minus_cos"] = number(last.others[k - 1].one_minus_cos);
  }
  json["optimal_loss"] = number(last.optimal_loss);
  json["loss_function"] = options.run.loss;
  json["lstar"] = to_string(objective.optimal_loss);
  json["references"] = references.json;
  json["data"] = options.data.file;

  std::vector<std::pair<std::string, std::string>> rows = {
      {"status", to_string(summary.status)},
      {"model", options.model.name() +
                    (options.model.rank != 0 ? ", rank " + std::to_string(options.model.rank) : "")},
      {"rule",
       rule_label(rule) + (options.model.joint ? ", decoder " + rule_label(trainer.rules.back()) : "")},
      {"steps", std::to_string(summary.steps) + " in " + rounded(summary.seconds, 4) + " s (" +
                    rounded(steps_per_second(summary), 4) + " steps/s)"},
      {"log10(loss)", rounded(last.log10_loss, 6)},
      {"accuracy", rounded(last.accuracy, 6)},
      {"norm of W", rounded(last.weight_norm, 6)},
      {"1 - cos(W, W_mm)", rounded(last.one_minus_cos, 4)}};
  for (std::size_t k = 1; k < model->observables().size(); ++k) {
    const std::string name = model->observables()[k].name;
    rows.push_back({"norm of " + name, rounded(last.others[k - 1].norm, 6)});
    rows.push_back({"1 - cos of " + name, rounded(last.others[k - 1].one_minus_cos, 4)});
  }
  publish(TraceRows::is_printed(options.trace) ? "" : listing(rows), json, options.json);
  for (const std::string& text : references.notes) note(text);
  if (summary.steps_below_rounding > 0)
    note(std::to_string(summary.steps_below_rounding) + " of " + std::to_string(summary.steps) +
         " steps were shorter than the rounding of the weights, which do not follow them");
  if (summary.status == TrainStatus::stationary && summary.steps == 0)
    note("the start is a stationary point: nothing moves from there");
  if (summary.status == TrainStatus::interrupted) return interrupt_exit_code();
  return ended_well(summary.status) ? exit_success : exit_ending;
}

}  // namespace

int run_train_model(const TrainOptions& options, const RuleSettings& rule, AttentionOptions objective) {
  const Form form = parse_form(options.run.form);
  if (form != Form::automatic && form != Form::dense)
    throw InvalidArgument("--form",
                          options.run.form + " does not go with models of several blocks (dense does)");
  // Where the loss falls to 0, unless told otherwise.
  if (options.model.needs_no_decoder() && options.lstar->count() == 0)
    objective.optimal_loss = OptimalLoss::zero;
  return options.run.precision == "f64" ? train_as<double>(options, rule, objective)
                                        : train_as<float>(options, rule, objective);
}

}  // namespace softstep::program
