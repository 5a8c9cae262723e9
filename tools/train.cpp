// softstep train: one run of one rule on one data set. W alone with a fixed decoder, or with --joint,
// --factored, --prompt, --model and --batch-size a model of other trained blocks.

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "checkpoint_options.h"
#include "commands.h"
#include "interrupt.h"
#include "job.h"
#include "kept_runs.h"
#include "options.h"
#include "output.h"
#include "run_report.h"
#include "softstep/error.h"
#include "softstep/large_data.h"
#include "trace_rows.h"
#include "train_options.h"
#include "train_reference.h"
#include "train_report.h"

namespace softstep::program {

namespace {

// A data set and its view, or points of several classes, or a model of a file of its own.
template <class T>
struct TrainingData {
  std::optional<Dataset<T>> dataset;
  std::optional<MulticlassData> classes;
  FileModel<T> own = {};
  const BatchView<T>* batch() const { return dataset ? &dataset->view() : nullptr; }
  const MulticlassData* points() const { return classes ? &*classes : nullptr; }

  std::unique_ptr<Model<T>> model(const ModelFlags& flags, const AttentionOptions& layer) {
    if (own.model != nullptr) return std::move(own.model);
    return classes ? make_multiclass_model<T>(*classes, layer.isa) : make_model<T>(flags, *batch(), layer);
  }
  ModelReferences references(const TrainOptions& options, int n_threads) const {
    if (!options.model.has_reference()) return {};
    return classes ? find_class_references(options, *classes, n_threads)
                   : find_references(options, *batch(), n_threads);
  }
};

template <class T>
TrainingData<T> training_data(const TrainOptions& options, const AttentionOptions& layer) {
  const ModelFlags& model = options.model;
  if (model.has_file_model())
    return {std::nullopt, std::nullopt,
            make_file_model<T>(model.kind, model.file_model, options.data.file,
                               options.loss->count() != 0 ? options.run.loss : "", layer)};
  if (model.has_classes()) return {std::nullopt, load_multiclass_data(options.data.file), {}};
  if (!options.model.needs_no_decoder() || !options.data.decoder.empty())
    return {load_data<T>(options.data), std::nullopt, {}};
  return {with_queries(load_samples<T>(options.data.file), options.data), std::nullopt, {}};
}

TrainerOptions trainer_options(const TrainOptions& options, const RuleSettings& rule, std::size_t n_blocks,
                               std::size_t n_samples) {
  TrainerOptions trainer;
  trainer.rules = {rule};
  if (!options.model.decoder_rule.empty()) {
    trainer.rules.assign(n_blocks, rule);
    trainer.rules.back() = parse_rule(options.model.decoder_rule);
  }
  trainer.normalization = parse_normalization(options.model.normalization);
  trainer.batch_size = static_cast<std::size_t>(options.model.batch_size);
  if (trainer.batch_size > n_samples)
    throw InvalidArgument("--batch-size",
                          fmt::format("{} (need a whole number from 1 to {}, the samples of the data)",
                                      trainer.batch_size, n_samples));
  trainer.batch_seed = options.run.seed;
  trainer.n_steps = options.run.n_steps;
  if (!options.model.any()) trainer.form = parse_form(options.run.form);
  trainer.trace_rows_per_decade = static_cast<int>(options.run.trace_rows_per_decade);
  return trainer;
}

template <class T>
void require_master(const TrainOptions& options, const TrainState<T>& state, const std::string& path) {
  const std::string saved = state.has_masters() ? "float64" : "working";
  if (options.master->count() != 0 && sizeof(T) < sizeof(double) && options.run.master != saved)
    throw InvalidArgument("--master", fmt::format("{}, but the state in {} was saved with {}",
                                                  options.run.master, path, saved));
}

// Where W begins, in words that two commands can be compared by.
std::string start_text(const TrainOptions& options) {
  // A file has been read by now, as weights of W.
  const Init init = parse_init(options.run.init);
  if (init.kind == Init::Kind::zero) return "zero";
  if (init.kind == Init::Kind::normal)
    return fmt::format("normal:{} of seed {}", shortest(init.std), options.run.seed);
  std::string bytes;
  for (const NamedTensor& tensor : load_tensors(init.file))
    if (tensor.name == "weights")
      bytes.assign(reinterpret_cast<const char*>(tensor.values.data()),
                   tensor.values.size() * sizeof(double));
  return "weights with checksum " + checksum(bytes);
}

constexpr const char* start_note = "init";

// The start of the run that the file is of; empty where it does not say. A start that was asked for must be
// that one, and another instruction set is told.
template <class T>
std::string start_of(const TrainOptions& options, const Model<T>& model, const std::string& path) {
  const std::map<std::string, std::string> metadata = load_metadata(path);
  const auto said = [&](const std::string& key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : found->second;
  };
  const std::string start = said(std::string("note.") + start_note), isa = said("isa");
  if (options.init->count() != 0 && !start.empty())
    if (const std::string asked = start_text(options); asked != start)
      throw InvalidArgument("--init", fmt::format("{}, but the run in {} began with {}", asked, path, start));
  if (!isa.empty() && isa != model.isa())
    note(
        fmt::format("{} was computed on {} and goes on on {}: the bits need not be those of a run that was "
                    "never stopped",
                    path, isa, model.isa()));
  return start;
}

template <class T>
TrainState<T> resumed_state(const TrainOptions& options, const Model<T>& model, const TrainerOptions& trainer,
                            std::string& start) {
  TrainState<T> state = load_state<T>(options.resume, model, trainer);
  require_master(options, state, options.resume);
  start = start_of(options, model, options.resume);
  return state;
}

template <class T>
TrainState<T> first_state(const TrainOptions& options, const Model<T>& model, std::size_t dim) {
  const Init init = parse_init(options.run.init);
  if (!options.model.any())
    return initial_state(model, {init.weights(dim, options.run.seed)}, options.run.master_weights());
  if (init.kind == Init::Kind::file)
    throw InvalidArgument("--init",
                          fmt::format("{} is a file of W; models of several blocks start from zero or "
                                      "normal:STD, or go on with --resume",
                                      init.file));
  if (options.model.rank_option->count() != 0 && init.std == 0.0)
    throw InvalidArgument("--init", fmt::format("{}: K = Q = 0 is a stationary point of the factored form "
                                                "(normal:STD leaves it)",
                                                options.run.init));
  return normal_state(model, init.std, options.run.seed, options.run.master_weights());
}

// In the folder --steps is where the run ends, and not how far it goes from there: the command that was
// stopped is given again as it was.
template <class T>
TrainState<T> state_to_go_on_from(const TrainOptions& options, const Model<T>& model, TrainerOptions& trainer,
                                  const Checkpoints* own, std::string& file, std::string& start) {
  const bool is_own = own != nullptr && is_same_folder(options.checkpoints.folder, options.resume);
  const std::unique_ptr<Checkpoints> others =
      is_own ? nullptr : std::make_unique<Checkpoints>(options.resume);
  auto found = (is_own ? own : others.get())->newest(model, trainer);
  if (found) file = found->path;
  if (!found) {
    if (!is_own) throw InvalidArgument("--resume", options.resume + " has no checkpoints");
    TrainState<T> first = first_state<T>(options, model, model.blocks()[0].n_cols);
    start = start_text(options);
    return first;
  }
  for (const std::string& damaged : found->damaged) note(damaged + "; passed over");
  require_master(options, found->state, found->path);
  start = start_of(options, model, found->path);
  if (is_own) own->remove_older(found->state.step);
  trainer.n_steps = std::max<std::int64_t>(0, options.run.n_steps - found->state.step);
  return std::move(found->state);
}

template <class T>
void save_observables(const TrainOptions& options, const Model<T>& model, const TrainState<T>& state) {
  std::vector<NamedTensor> tensors;
  const StoredType type = sizeof(T) == 4 && !state.has_masters() ? StoredType::f32 : StoredType::f64;
  const std::vector<Observable> observables = model.observables();
  for (std::size_t k = 0; k < observables.size(); ++k) {
    const Observable& observable = observables[k];
    std::vector<std::size_t> shape = {observable.n_rows};
    if (observable.n_cols != 1 || !options.model.any()) shape.push_back(observable.n_cols);
    tensors.push_back({observable.name, shape, observe(model, state, k), type});
  }
  for (std::size_t k = 0; k < state.blocks.size(); ++k) {
    const BlockShape& shape = model.blocks()[k];
    const bool is_there = std::any_of(tensors.begin(), tensors.end(),
                                      [&](const NamedTensor& tensor) { return tensor.name == shape.name; });
    if (!is_there && (shape.name == "keys" || shape.name == "queries" || options.model.has_file_model()))
      tensors.push_back({shape.name, {shape.n_rows, shape.n_cols}, state.values(k), type});
  }
  save_tensors(options.out, tensors);
}

// The first rank has looked into the folder, which is one process's at a time; the others read the file that
// it found, if it found one.
template <class T>
void read_same_start(Ranks* ranks, const TrainOptions& options, const Model<T>& model, std::string file,
                     TrainerOptions& trainer, TrainState<T>& state) {
  std::size_t size = file.size();
  ranks->broadcast(std::as_writable_bytes(std::span<std::size_t>(&size, 1)), 0);
  file.resize(size);
  ranks->broadcast(std::as_writable_bytes(std::span<char>(file)), 0);
  all_or_none(ranks, [&] {
    if (is_first_rank()) return;
    state = file.empty() ? first_state<T>(options, model, model.blocks()[0].n_cols)
                         : load_state<T>(file, model, trainer);
    if (!file.empty()) trainer.n_steps = std::max<std::int64_t>(0, options.run.n_steps - state.step);
  });
  const std::vector<std::int64_t> all = of_all_ranks(ranks, state.step);
  for (const std::int64_t step : all)
    if (step != all[0])
      throw InvalidArgument("--resume", fmt::format("rank 0 goes on from step {} and another one from {}: "
                                                    "all must see the same files",
                                                    all[0], step));
}

// On all ranks, once one of them is.
bool any_interrupted(Ranks* ranks) {
  const std::vector<char> all = of_all_ranks(ranks, static_cast<char>(interrupted() ? 1 : 0));
  return std::find(all.begin(), all.end(), 1) != all.end();
}

// Whether a run may go on as far as this process is concerned. Ranks agree on it in the next step.
bool keep_on(Ranks* ranks, bool goes_on) {
  if (goes_on || ranks == nullptr) return goes_on;
  ask_job_to_stop();
  return true;
}

template <class T>
int train_as(const TrainOptions& options, const RuleSettings& rule, const AttentionOptions& layer) {
  Ranks* const ranks = layer.ranks.get();
  TrainingData<T> data;
  all_or_none(ranks, [&] { data = training_data<T>(options, layer); });
  const auto model = data.model(options.model, layer);
  TrainerOptions trainer;
  std::unique_ptr<Checkpoints> checkpoints;
  std::unique_ptr<TraceRows> trace;
  TrainState<T> state;
  std::string file, start;
  const bool goes_on = names_checkpoints(options.checkpoints, options.resume);
  all_or_none(ranks, [&] {
    trainer = trainer_options(options, rule, model->blocks().size(), model->n_samples());
    if (is_first_rank()) checkpoints = take_folder(options.checkpoints, options.resume);
    if (goes_on && !is_first_rank()) return;
    state = goes_on ? state_to_go_on_from<T>(options, *model, trainer, checkpoints.get(), file, start)
            : options.resume.empty() ? first_state<T>(options, *model, model->blocks()[0].n_cols)
                                     : resumed_state<T>(options, *model, trainer, start);
    if (options.resume.empty()) start = start_text(options);
  });
  if (ranks != nullptr && goes_on) read_same_start(ranks, options, *model, file, trainer, state);
  // The state's own way of keeping weights, which a resumed run takes over.
  trainer.master_weights = state.has_masters() ? MasterWeights::float64 : MasterWeights::working;
  catch_interrupts();
  const ModelReferences references = data.references(options, layer.n_threads);
  if (any_interrupted(ranks)) {
    note("interrupted before the first step; nothing was written");
    return interrupt_exit_code();
  }
  trainer.references = references.directions;
  const bool has_direction = !trainer.references.empty() && !trainer.references[0].empty();
  trainer.stop_one_minus_cos = has_direction ? options.stop_one_minus_cos : 0.0;
  const StateNotes notes = start.empty() ? StateNotes() : StateNotes{{start_note, start}};

  TrainProgress progress(state.step, trainer.n_steps);
  all_or_none(ranks, [&] {
    const std::string path = is_first_rank() ? options.trace : "";
    trace = std::make_unique<TraceRows>(path, train_columns(options.model, model->observables()));
    if (goes_on && state.step > 0 && is_first_rank()) trace->go_on_from(state.step);
  });
  if (checkpoints != nullptr) {
    options.checkpoints.set_schedule(trainer);
    trainer.checkpoint = [&](const Progress&) {
      trace->sync();  // first: a checkpoint stands for the rows before it
      try_output([&] { checkpoints->write(*model, state, trainer, notes); });
    };
  }
  trainer.trace = [&](const TraceRecord& record) {
    trace->add(record.step, train_row(options.model, record));
    return keep_on(ranks, progress.at_row(record));
  };
  trainer.progress = [&](const Progress& now) { return keep_on(ranks, progress.at_step(now.step)); };
  trainer.stop = job_stops();
  const TrainSummary summary = train(*model, state, trainer);
  progress.clear();

  trace->finish();
  if (is_first_rank() && !options.out.empty()) try_output([&] { save_observables(options, *model, state); });
  if (is_first_rank() && !options.save_state.empty())
    try_output([&] { save_state(options.save_state, *model, state, trainer, notes); });
  report_run<T>({options, layer, data.batch(), data.points(), data.own.loss, *model, state, trainer, summary,
                 references});
  if (summary.status == TrainStatus::interrupted) return interrupt_exit_code();
  return ended_well(summary.status) ? exit_success : exit_ending;
}

// Softmax regression has a loss of its own, and a file of its own.
void check_class_options(const TrainOptions& options) {
  const auto refuse = [](const char* option, const char* reason) {
    throw InvalidArgument(option, fmt::format("does not go with --model multiclass, {}", reason));
  };
  if (!options.data.decoder.empty()) refuse("--decoder", "which has no decoder");
  if (options.loss->count() != 0) refuse("--loss", "whose loss is the cross entropy");
  if (options.lstar->count() != 0) refuse("--lstar", "whose L* is 0");
  if (options.run.token_storage != "working") refuse("--token-storage", "which has no tokens");
  if (options.stop_one_minus_cos > 0.0 && options.reference_option->count() == 0)
    refuse("--stop-one-minus-cos", "unless there is a --reference solve");
}

// It looks at the first token of each sample.
void check_logistic_options(const TrainOptions& options) {
  const auto refuse = [](const char* option, const char* reason) {
    throw InvalidArgument(option, fmt::format("does not go with --model logistic, {}", reason));
  };
  if (!options.data.decoder.empty()) refuse("--decoder", "which has no decoder");
  if (options.run.token_storage != "working") refuse("--token-storage", "which has no tokens in 16 bits");
}

// Models without a max-margin direction; most have data, a loss and L* of their own.
void check_own_options(const TrainOptions& options) {
  const auto refuse = [&](const char* option, const char* reason) {
    throw InvalidArgument(option, fmt::format("does not go with --model {}, {}", options.model.kind, reason));
  };
  if (options.reference_option->count() != 0 && options.reference != "none")
    refuse("--reference", "which has no direction to compare with (need none)");
  if (options.stop_one_minus_cos > 0.0)
    refuse("--stop-one-minus-cos", "which has no direction to compare with");
  if (options.run.token_storage != "working") refuse("--token-storage", "which has no tokens in 16 bits");
  if (!options.model.has_file_model()) return;
  if (!options.data.decoder.empty()) refuse("--decoder", "which has no decoder");
  if (options.lstar->count() != 0) refuse("--lstar", "whose L* is its own");
  if (options.loss->count() != 0 && !takes_loss(options.model.kind))
    refuse("--loss", "whose loss is its own");
}

// What a model that is not W alone asks of the options.
void adapt_to_model(const TrainOptions& options, AttentionOptions& layer) {
  const Form form = parse_form(options.run.form);
  if (form != Form::automatic && form != Form::dense)
    throw InvalidArgument("--form",
                          options.run.form + " does not go with models of several blocks (dense does)");
  // Where the loss falls to 0, unless told otherwise.
  if ((options.model.needs_no_decoder() || options.model.has_classes()) && options.lstar->count() == 0)
    layer.optimal_loss = OptimalLoss::zero;
}

// Other models, the solver and copies in another number type read or hold all tokens at once.
void check_memory(const TrainOptions& options, bool several) {
  if (!options.memory.is_given()) return;
  const auto refuse = [](const std::string& what) {
    throw InvalidArgument("--memory", "does not go with " + what);
  };
  if (several) refuse("several ranks");
  if (options.model.kind != "attention") refuse("--model " + options.model.kind);
  if (options.reference == "solve")
    refuse("--reference solve, as the solver holds all tokens (need none or a file)");
}

// Of several ranks.
void check_ranks(const TrainOptions& options) {
  if (options.model.kind != "attention")
    throw InvalidArgument("--model", options.model.kind + " does not go with several ranks (attention does)");
}

AttentionOptions check_options(const TrainOptions& options, bool several) {
  options.checkpoints.check();
  AttentionOptions layer =
      options.run.layer(options.threads == 0 ? threads_of_rank() : static_cast<int>(options.threads));
  if (several) check_ranks(options);
  check_memory(options, several);
  options.memory.bound_process();
  if (!options.resume.empty() && options.init->count() != 0 &&
      !names_checkpoints(options.checkpoints, options.resume))
    throw InvalidArgument("--init", "does not go with --resume: the state has its weights");
  const Init init = parse_init(options.run.init);
  if (options.seed->count() != 0 && init.kind != Init::Kind::normal && options.model.batch_size == 0)
    throw InvalidArgument("--seed", "only goes with --init normal:STD or --batch-size");
  if (options.stop_one_minus_cos > 0.0 && options.reference == "none")
    throw InvalidArgument("--stop-one-minus-cos", "needs a reference, and --reference is none");
  options.model.check();
  if (options.model.kind != "attention" && options.data.queries_option->count() != 0)
    throw InvalidArgument(
        "--queries",
        fmt::format("does not go with --model {}, which has no {}", options.model.kind,
                    options.model.kind == "diagonal" ? "several queries a sample" : "attention"));
  if (options.model.has_classes()) check_class_options(options);
  if (options.model.kind == "logistic") check_logistic_options(options);
  if (!options.model.has_reference()) check_own_options(options);

  Outputs outputs;
  outputs.add_data("--data", options.data.file);
  outputs.add_input("--decoder", options.data.decoder);
  outputs.add_input("--init", init.file);
  if (options.reference != "solve" && options.reference != "none")
    outputs.add_input("--reference", options.reference);
  // A state may be continued in place, and is no place for anything else.
  outputs.add("--save-state", options.save_state);
  outputs.add_input("--resume", options.resume);
  if (TraceRows::is_printed(options.trace) && options.json == "-")
    throw InvalidArgument("--trace", "- does not go with --json -: only one of the two can be printed");
  if (!TraceRows::is_printed(options.trace)) outputs.add("--trace", options.trace);
  outputs.add("--out", options.out);
  if (options.json != "-") outputs.add("--json", options.json);
  if (options.model.any()) adapt_to_model(options, layer);
  return layer;
}

int run_train(const TrainOptions& options) {
  const std::shared_ptr<Ranks> ranks = ranks_of_job();
  RuleSettings rule;
  AttentionOptions layer;
  const bool several = ranks != nullptr && ranks->size() > 1;
  all_or_none(ranks.get(), [&] {
    rule = options.rule.settings();
    layer = check_options(options, several);
  });
  set_sum_order(options.sum_order);
  if (options.model.kind == "attention") layer.ranks = ranks;
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
  options->loss = app->get_option("--loss");
  add_model_flags(*app, options->model);
  options->init = app->get_option("--init");
  options->master = app->get_option("--master");
  options->seed = add_seed(*app, options->run.seed, "Seed of --init normal:STD and of --batch-size");
  options->reference_option =
      app->add_option("--reference", options->reference,
                      "Direction to compare with: the max-margin solution, none, or a weights file");
  options->reference_option->type_name("solve|none|FILE")->default_str(options->reference);
  add_real(*app, "--stop-one-minus-cos", options->stop_one_minus_cos, 0.0, 2.0,
           "Stop (status converged) when 1 - cos falls to this; 0: never");
  add_threads(*app, options->threads, "Threads; the run has the same bits for any number");
  add_path(*app, "--trace", options->trace, "Write the trace to FILE as CSV; - prints it instead of text");
  add_path(*app, "--out", options->out, "Write the final weights, tensor `weights` [d,d]");
  add_path(*app, "--save-state", options->save_state, "Write the final state, to go on from with --resume");
  add_path(*app, "--resume", options->resume,
           "Go on from a saved state (same rule, precision and data) for --steps further steps, or from the "
           "newest "
           "whole checkpoint of a folder up to step --steps");
  add_checkpoints(*app, options->checkpoints);
  add_sum_order(*app, options->sum_order);
  add_memory(*app, options->memory);
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
      "  softstep train --data data.safetensors --rule adam --steps 1e6 --checkpoint saved --resume saved\n"
      "  softstep train --data data.safetensors --queries all --rule ngd --steps 1e4\n"
      "  softstep train --data data.safetensors --joint --rule ngd:schedule-power=0.667 --steps 1e5 \\\n"
      "      --trace joint.csv\n"
      "  softstep train --data data.safetensors --factored 4 --init normal:0.1 --rule ngd --steps 1e4\n"
      "  softstep train --data classes.safetensors --model multiclass --rule muon_exact --steps 1e4\n"
      "  softstep train --data induction.safetensors --model induction --rule gd --step-size 0.4 \\\n"
      "      --init normal:0.01 --steps 2000\n"
      "Ctrl-C ends a run early: its status is interrupted, and everything that was asked for is written.");
  return {app, [options] { return run_train(*options); }, "the run ended as not_finite or gap_not_positive"};
}

}  // namespace softstep::program
