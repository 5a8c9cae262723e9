#include "options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "job.h"
#include "library_names.h"
#include "memory_option.h"
#include "nearest.h"
#include "output.h"
#include "read_number.h"
#include "softstep/error.h"
#include "softstep/isa.h"
#include "softstep/threads.h"

namespace softstep::program {

void add_json(CLI::App& app, std::string& path) {
  add_path(app, "--json", path, "Write the results to FILE as JSON; - prints JSON instead of text");
}

void add_threads(CLI::App& app, std::int64_t& threads, const std::string& what) {
  add_whole(app, "--threads", threads, 0, most_threads,
            what + "; 0 means the processors this process may use");
}

int resolved_threads(std::int64_t threads) {
  return threads == 0 ? available_threads() : static_cast<int>(threads);
}

// ---- data

GeneratorOptions GeneratorFlags::with_seed(std::uint64_t seed) const {
  GeneratorOptions all = options;
  all.n_samples = static_cast<std::size_t>(n_samples);
  all.n_tokens = static_cast<std::size_t>(n_tokens);
  all.dim = static_cast<std::size_t>(dim);
  all.seed = seed;
  return all;
}

CLI::Option* add_generator(CLI::App& app, GeneratorFlags& flags, const std::string& help) {
  std::string text = help;
  for (const GeneratorInfo& generator : generators())
    text += fmt::format("\n{} ({})", generator.name, generator.summary);
  return app.add_option("--generator", flags.options.generator, text)
      ->type_name("NAME")
      ->default_str(flags.options.generator);
}

std::vector<CLI::Option*> add_generator_options(CLI::App& app, GeneratorFlags& flags) {
  return {
      add_whole(app, "--samples", flags.n_samples, 1, most_whole, "Number of samples n"),
      add_whole(app, "--tokens", flags.n_tokens, 1, most_whole, "Tokens per sample T"),
      add_whole(app, "--dim", flags.dim, 1, most_whole, "Token dimension d"),
      add_real(app, "--signal", flags.options.signal,
               "Norm of the signal tokens (signal_noise) or of all tokens (orthogonal), distance of the "
               "points from the hyperplane (separable)"),
      add_real(app, "--noise", flags.options.noise,
               "Standard deviation of the noise tokens (signal_noise) or of the points (separable); 0 means "
               "1/sqrt(d)"),
      app.add_flag("--equal-scores", flags.options.equal_scores,
                   "Project the noise orthogonal to the decoder (signal_noise)")};
}

void check_generator_options(const GeneratorFlags& flags, const std::vector<CLI::Option*>& options) {
  const struct {
    const char* option;
    std::vector<std::string> generators;
  } rows[] = {{"--samples", {"signal_noise", "random_unit", "orthogonal", "separable"}},
              {"--tokens", {"signal_noise", "random_unit", "orthogonal"}},
              {"--dim", {"signal_noise", "random_unit", "orthogonal", "separable"}},
              {"--signal", {"signal_noise", "orthogonal", "separable"}},
              {"--noise", {"signal_noise", "separable"}},
              {"--equal-scores", {"signal_noise"}}};
  const std::string& name = flags.options.generator;
  bool is_known = false;
  for (const GeneratorInfo& generator : generators()) is_known = is_known || generator.name == name;
  if (!is_known) return;  // which is told when it is to make something
  for (const CLI::Option* option : options)
    for (const auto& row : rows)
      if (option->get_name() == row.option && option->count() != 0 &&
          std::find(row.generators.begin(), row.generators.end(), name) == row.generators.end())
        throw InvalidArgument(row.option, fmt::format("does not go with --generator {} (only with {})", name,
                                                      join(row.generators)));
}

CLI::Option* add_data(CLI::App& app, DataOptions& data) {
  CLI::Option* file =
      add_path(app, "--data", data.file, "Data set: a safetensors file, or the index JSON of its shards");
  add_path(app, "--decoder", data.decoder, "Take the decoder from this file's tensor `decoder` [d] instead")
      ->needs(file);
  data.queries_option =
      add_word(app, "--queries", data.queries, {"data", "all"},
               "Queries of a sample: those of the data, or every token; of several the mean "
               "of their outputs counts");
  return file;
}

template <class T>
Dataset<T> with_queries(const Dataset<T>& data, const DataOptions& options) {
  if (options.queries == "data") return data;
  BatchView<T> view = data.view();
  view.queries = nullptr;
  view.query_index = nullptr;
  view.n_queries = 1;
  view.query_offsets = {};
  view.query_weights = {};
  view.all_tokens_are_queries = true;
  view.validate();
  return Dataset<T>(view, std::make_shared<Dataset<T>>(data));
}

template Dataset<float> with_queries(const Dataset<float>&, const DataOptions&);
template Dataset<double> with_queries(const Dataset<double>&, const DataOptions&);

namespace {

template <class T>
Dataset<T> with_decoder(const Dataset<T>& data, const std::string& file) {
  struct Kept {
    Dataset<T> data;
    std::vector<T> decoder;
  };
  const auto kept = std::make_shared<Kept>();
  kept->data = data;
  BatchView<T> view = data.view();
  for (const NamedTensor& tensor : load_tensors(file)) {
    if (tensor.name != "decoder") continue;
    if (tensor.shape != std::vector<std::size_t>{view.dim})
      throw InvalidArgument(file, fmt::format("tensor decoder has another shape (need [{}])", view.dim));
    kept->decoder.assign(tensor.values.begin(), tensor.values.end());
  }
  if (kept->decoder.empty()) throw InvalidArgument(file, "has no tensor decoder");
  view.decoder = kept->decoder.data();
  view.validate();
  return Dataset<T>(view, kept);
}

}  // namespace

template <class T>
Dataset<T> load_samples(const std::string& file) {
  const std::shared_ptr<Ranks> ranks = ranks_of_job();
  return ranks == nullptr ? load_dataset<T>(file, read_options())
                          : load_dataset_part<T>(file, ranks->rank(), ranks->size());
}

template Dataset<float> load_samples<float>(const std::string&);
template Dataset<double> load_samples<double>(const std::string&);

template <class T>
Dataset<T> load_data(const DataOptions& data) {
  Dataset<T> loaded = load_samples<T>(data.file);
  if (!data.decoder.empty()) loaded = with_decoder(loaded, data.decoder);
  if (loaded.view().decoder == nullptr)
    throw InvalidArgument(data.file, "has no tensor decoder (give one with --decoder FILE)");
  return with_queries(loaded, data);
}

template Dataset<float> load_data<float>(const DataOptions&);
template Dataset<double> load_data<double>(const DataOptions&);

// ---- rules

namespace {

const RuleInfo& info_of(const RuleSettings& settings) {
  std::vector<std::string> known;
  for (const RuleInfo& info : step_rules()) {
    if (info.name == settings.rule) return info;
    known.push_back(info.name);
  }
  throw InvalidArgument("rule", "unknown rule " + settings.rule + suggestion(settings.rule, known));
}

}  // namespace

void add_rule(CLI::App& app, RuleFlags& flags) {
  app.add_option("--rule", flags.rule,
                 "Step rule, one of those below, alone or with its options: ngd:step-size=1")
      ->type_name("RULE")
      ->default_str(flags.rule);
  // Whatever options the rules have, so that a new rule brings its own.
  for (const RuleInfo& info : step_rules())
    for (const RuleOptionInfo& option : info.options) {
      if (flags.options.count(option.name) != 0) continue;
      std::string users;
      for (const RuleInfo& other : step_rules())
        for (const RuleOptionInfo& theirs : other.options)
          if (theirs.name == option.name)
            users +=
                fmt::format("{}{} {}", users.empty() ? "" : ", ", other.name, shortest(theirs.default_value));
      double& value = flags.values[option.name];
      CLI::Option* added =
          add_real(app, "--" + option.name, value, fmt::format("{} ({})", option.help, users));
      added->default_str("")->group("Options of the step rules (default in brackets)");
      flags.options[option.name] = added;
    }
}

std::string rule_table() {
  std::string text;
  for (const RuleInfo& info : step_rules())
    text += fmt::format("  {:<8} {}  [{}{}{}]\n", info.name, info.formula, info.source,
                        info.note.empty() ? "" : "; ", with_option_names(info.note));
  return text;
}

RuleSettings RuleFlags::settings() const {
  RuleSettings settings = parse_rule(rule);
  const RuleInfo& info = info_of(settings);
  for (const auto& [name, option] : options) {
    if (option->count() == 0) continue;
    std::vector<std::string> known;
    for (const RuleOptionInfo& own : info.options) known.push_back("--" + own.name);
    bool has = false;
    for (const std::string& own : known) has = has || own == "--" + name;
    if (!has)
      throw InvalidArgument("--" + name, fmt::format("rule {} has no such option (its options: {})",
                                                     info.name, known.empty() ? "none" : join(known)));
    if (settings.options.count(name) != 0)
      throw InvalidArgument("--" + name, "given in --rule " + rule + " as well");
    settings.options[name] = values.at(name);
  }
  make_step_rule<double>(settings);  // throws if a value is out of range
  return settings;
}

std::string rule_label(const RuleSettings& settings) {
  std::string label = settings.rule;
  char separator = ':';
  for (const RuleOptionInfo& option : info_of(settings).options) {
    const auto given = settings.options.find(option.name);
    if (given == settings.options.end()) continue;
    label += fmt::format("{}{}={}", separator, option.name, shortest(given->second));
    separator = ',';
  }
  return label;
}

std::map<std::string, double> rule_values(const RuleSettings& settings) {
  std::map<std::string, double> values;
  for (const RuleOptionInfo& option : info_of(settings).options) values[option.name] = option.default_value;
  for (const auto& [name, value] : settings.options) values[name] = value;
  return values;
}

// ---- runs

void add_run_options(CLI::App& app, RunOptions& run) {
  add_whole(app, "--steps", run.n_steps, 1, most_whole, "Steps to take");
  add_word(app, "--precision", run.precision, {"f64", "f32"}, "Number type of data, weights and kernels");
  add_word(app, "--master", run.master, {"working", "float64"},
           "Weights kept in the working precision (f32: with what every step rounds off beside them), or in "
           "float64 and rounded "
           "for the kernels");
  add_word(app, "--form", run.form,
           {to_string(Form::automatic), to_string(Form::dense), to_string(Form::query_span),
            to_string(Form::token_span)},
           "How W is kept: the same trajectory, at another cost per step");
  add_word(app, "--token-storage", run.token_storage, {"working", "f16", "bf16"},
           "How the kernels read tokens: 16 bits, with f32, halve the memory traffic");
  add_word(app, "--loss", run.loss, {to_string(Loss::logistic), to_string(Loss::exponential)},
           "Loss of the margin");
  add_word(
      app, "--lstar", run.lstar,
      {to_string(OptimalLoss::optimal), to_string(OptimalLoss::selected), to_string(OptimalLoss::value),
       to_string(OptimalLoss::zero)},
      "What the loss gap is measured from: the infimum, the loss at the tokens now selected, a value, or 0");
  run.lstar_value_option = add_real(app, "--lstar-value", run.lstar_value, "L* for --lstar value");
  run.lstar_value_option->default_str("");
  app.add_option("--init", run.init, "Initial weights: zero, normal:STD, or a weights file")
      ->type_name("zero|normal:STD|FILE")
      ->default_str(run.init);
  app.add_option("--isa", run.isa, "Instruction set to use, or auto")
      ->type_name("NAME")
      ->default_str(run.isa);
  add_whole(app, "--trace-rows-per-decade", run.trace_rows_per_decade, 0, 1000000,
            "Traced steps per factor of ten, log-spaced; 0: only the first and the last");
}

AttentionOptions RunOptions::layer(int n_threads) const {
  AttentionOptions options;
  options.loss = parse_loss(loss);
  options.optimal_loss = parse_optimal_loss(lstar);
  const bool has_value = lstar_value_option->count() != 0;
  if (options.optimal_loss == OptimalLoss::value && !has_value)
    throw InvalidArgument("--lstar", "value needs --lstar-value X");
  if (options.optimal_loss != OptimalLoss::value && has_value)
    throw InvalidArgument("--lstar-value", "only goes with --lstar value (here it is " + lstar + ")");
  options.optimal_loss_value = lstar_value;
  options.n_threads = n_threads;
  force_isa(isa);
  options.token_storage = parse_stored_type(token_storage);
  if (options.token_storage != StoredType::working && precision != "f32")
    throw InvalidArgument("--token-storage", token_storage + " goes with --precision f32 only");
  options.isa = active_isa();
  options.validate();
  return options;
}

MasterWeights RunOptions::master_weights() const {
  return master == "float64" ? MasterWeights::float64 : MasterWeights::working;
}

Init parse_init(const std::string& text) {
  Init init;
  const std::string normal = "normal:";
  if (text == "zero") return init;
  if (text.rfind(normal, 0) == 0) {
    init.kind = Init::Kind::normal;
    if (!read_number(text.substr(normal.size()), init.std) || !std::isfinite(init.std) || init.std < 0.0)
      throw InvalidArgument("--init", text + " (need normal:STD with a finite STD of at least 0)");
    return init;
  }
  if (text.empty() || text == "normal")
    throw InvalidArgument("--init", text + " (need zero, normal:STD or a file)");
  init.kind = Init::Kind::file;
  init.file = text;
  return init;
}

std::vector<double> Init::weights(std::size_t dim, std::uint64_t seed) const {
  if (kind == Kind::file) return load_weights(file, dim);
  if (kind == Kind::normal) return normal_weights(dim, std, seed);
  return std::vector<double>(dim * dim, 0.0);
}

}  // namespace softstep::program
