#include "file_models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cmath>

#include "file_tensors.h"
#include "options.h"
#include "softstep/diagonal_attention.h"
#include "softstep/error.h"
#include "softstep/gated.h"
#include "softstep/in_context.h"
#include "softstep/induction.h"
#include "softstep/relu_network.h"
#include "softstep/variational.h"
#include "softstep/vocabulary_attention.h"

namespace softstep::program {

namespace {

struct Kind {
  const char* name;
  std::vector<std::string> variants;  // the first is taken if nothing is said; none: there are none
  bool neurons, heads, rank;
  bool takes_loss;
};
const std::vector<Kind> kinds = {
    {"relu", {}, true, false, false, true},
    {"relu_population", {}, true, false, false, false},
    {"variational", {}, false, false, true, true},
    {"vocabulary",
     {to_string(TokenMixing::softmax), to_string(TokenMixing::linear)},
     false,
     false,
     false,
     false},
    {"gated",
     {to_string(ExampleWeights::gated), to_string(ExampleWeights::free), to_string(ExampleWeights::constant)},
     false,
     false,
     false,
     false},
    {"induction",
     {to_string(InductionScores::product), to_string(InductionScores::single)},
     false,
     false,
     false,
     false},
    {"in_context", {to_string(HeadForm::separate), to_string(HeadForm::merged)}, false, true, true, false},
    {"diagonal",
     {to_string(DiagonalForm::factored), to_string(DiagonalForm::combined)},
     false,
     false,
     false,
     true}};

const Kind* kind_of(const std::string& name) {
  for (const Kind& kind : kinds)
    if (name == kind.name) return &kind;
  return nullptr;
}

// Points with labels, or with real targets; the memory that a batch looks at.
template <class T>
struct Points {
  std::vector<T> features, targets;
  std::vector<std::int8_t> labels;
  BatchView<T> view;
};

template <class T>
T number_in(const FileTensors& file, const NamedTensor& tensor, std::size_t k) {
  const T value = static_cast<T>(tensor.values[k]);
  if (!std::isfinite(value))
    file.refuse(tensor.name, fmt::format("entry {}: {} (need a finite number{})", k, tensor.values[k],
                                         std::isfinite(tensor.values[k]) ? " of float32" : ""));
  return value;
}

template <class T>
void read_points(const FileTensors& file, Points<T>& out) {
  const NamedTensor& features = file.need("features", 2, "[n, d]");
  const std::vector<std::size_t> n = {features.shape[0]};
  if (file.has("labels") == file.has("targets"))
    throw BadFile(file.path(), file.has("labels")
                                   ? "has both `labels` and `targets` (need one of the two)"
                                   : "has neither tensor `labels` nor `targets` (need one of the two)");
  for (std::size_t k = 0; k < features.values.size(); ++k)
    out.features.push_back(number_in<T>(file, features, k));
  out.view.tokens = out.features.data();
  out.view.n_samples = n[0];
  out.view.n_tokens = 1;
  out.view.dim = features.shape[1];
  if (file.has("labels")) {
    for (const signed char y : file.labels(file.need("labels", n))) out.labels.push_back(y);
    out.view.labels = out.labels.data();
    return;
  }
  const NamedTensor& targets = file.need("targets", n);
  for (std::size_t i = 0; i < n[0]; ++i) out.targets.push_back(number_in<T>(file, targets, i));
  out.view.targets = out.targets.data();
}

// Real targets have the squared loss, labels that of --loss.
Loss loss_of(const FileTensors& file, const std::string& asked, Loss of_labels) {
  if (!file.has("targets")) return asked.empty() ? of_labels : parse_loss(asked);
  if (!asked.empty())
    throw InvalidArgument(
        "--loss", fmt::format("{} is of labels -1 and 1, and {} has real targets", asked, file.path()));
  return Loss::squared;
}

// The outer layer of the file, which stays, or none, and it is trained.
std::vector<double> outer_of(const FileTensors& file, const FileModelFlags& flags, std::size_t& n_neurons) {
  n_neurons = static_cast<std::size_t>(flags.neurons);
  if (!file.has("outer")) {
    if (n_neurons == 0)
      throw InvalidArgument("--neurons", "is needed: " + file.path() + " has no tensor `outer`");
    return {};
  }
  const NamedTensor& outer = file.need("outer", 1, "[neurons]");
  if (n_neurons != 0 && outer.values.size() != n_neurons)
    throw InvalidArgument("--neurons", fmt::format("{}, but `outer` of {} has {} entries", n_neurons,
                                                   file.path(), outer.values.size()));
  n_neurons = outer.values.size();
  return outer.values;
}

template <class T>
FileModel<T> relu(const FileTensors& file, const FileModelFlags& flags, const std::string& loss,
                  const AttentionOptions& layer) {
  Points<T> points;
  read_points(file, points);
  ReluOptions options;
  options.loss = loss_of(file, loss, Loss::logistic);
  options.outer = outer_of(file, flags, options.n_neurons);
  options.isa = layer.isa;
  return {make_relu_model(points.view, options), to_string(options.loss)};
}

template <class T>
FileModel<T> relu_population(const FileTensors& file, const FileModelFlags& flags,
                             const AttentionOptions& layer) {
  const NamedTensor& means = file.need("means", 2, "[clusters, d]");
  const std::vector<std::size_t> n = {means.shape[0]};
  GaussianClusters clusters;
  clusters.dim = means.shape[1];
  clusters.means = means.values;
  clusters.probabilities = file.need("probabilities", n).values;
  for (const signed char y : file.labels(file.need("labels", n))) clusters.labels.push_back(y);
  clusters.sigma = file.number("sigma");
  std::size_t n_neurons = 0;
  const std::vector<double> outer = outer_of(file, flags, n_neurons);
  return {make_relu_population_model<T>(clusters, n_neurons, outer, layer.isa), "correlation"};
}

template <class T>
FileModel<T> variational(const FileTensors& file, const FileModelFlags& flags, const std::string& loss,
                         const AttentionOptions& layer) {
  Points<T> points;
  read_points(file, points);
  VariationalOptions options;
  options.loss = loss_of(file, loss, Loss::exponential);
  if (options.loss == Loss::logistic)
    throw InvalidArgument("--loss", "logistic has no closed expectation (need exponential)");
  options.rank = static_cast<std::size_t>(flags.rank);
  options.isa = layer.isa;
  return {make_variational_model(points.view, options), fmt::format("expected {}", to_string(options.loss))};
}

// [n + 1] of things in groups.
std::vector<std::size_t> offsets_of(const FileTensors& file, const std::string& name, std::size_t n,
                                    std::size_t total) {
  std::vector<std::size_t> out = file.whole(file.need(name, {n + 1}));
  if (out.front() != 0 || out.back() != total)
    file.refuse(name, fmt::format("goes from {} to {} (need 0 to {})", out.front(), out.back(), total));
  for (std::size_t i = 0; i < n; ++i)
    if (out[i] >= out[i + 1])
      file.refuse(name, fmt::format("entry {}: {} (need above {})", i + 1, out[i + 1], out[i]));
  return out;
}

SentenceData sentences_of(const FileTensors& file) {
  SentenceData out;
  const bool ragged = file.has("offsets");
  const NamedTensor& tokens =
      ragged ? file.need("tokens", 2, "[tokens of all sentences, d]") : file.need("tokens", 3, "[n, T, d]");
  out.dim = tokens.shape.back();
  out.tokens = tokens.values;
  std::size_t n = tokens.shape[0];
  if (ragged) {
    n = file.need("offsets", 1, "[n + 1]").values.size() - 1;
    out.first = offsets_of(file, "offsets", n, tokens.shape[0]);
  } else {
    for (std::size_t i = 0; i <= n; ++i) out.first.push_back(i * tokens.shape[1]);
  }
  const NamedTensor& next = file.need("next", 1, file.has("next_offsets") ? "[next tokens of all]" : "[n]");
  out.next = file.whole(next);
  if (file.has("next_offsets")) {
    out.first_next = offsets_of(file, "next_offsets", n, out.next.size());
  } else {
    file.need("next", std::vector<std::size_t>{n});
    for (std::size_t i = 0; i <= n; ++i) out.first_next.push_back(i);
  }
  const auto shares = [&](const char* name, std::size_t size) {
    return file.has(name) ? file.need(name, std::vector<std::size_t>{size}).values
                          : std::vector<double>(size, 1.0);
  };
  out.labels = shares("next_probabilities", out.next.size());
  out.probabilities = shares("probabilities", n);
  out.vocabulary = *std::max_element(out.next.begin(), out.next.end()) + 1;
  if (file.has("vocabulary")) {
    const std::vector<std::size_t> size = file.whole({"vocabulary", {1}, {file.number("vocabulary")}});
    for (std::size_t k = 0; k < out.next.size(); ++k)
      if (out.next[k] >= size[0])
        file.refuse("next", fmt::format("entry {}: token {} (need below the vocabulary, {})", k, out.next[k],
                                        size[0]));
    out.vocabulary = size[0];
  }
  return out;
}

template <class T>
FileModel<T> vocabulary(const FileTensors& file, const std::string& variant, const AttentionOptions& layer) {
  const SentenceData data = sentences_of(file);
  VocabularyAttentionOptions options;
  if (variant == to_string(TokenMixing::linear)) options.mixing = TokenMixing::linear;
  const std::vector<std::size_t> head = {data.vocabulary, data.dim};
  if (file.has("values")) options.values = file.need("values", head).values;
  if (file.has("feed_forward")) {
    options.feed_forward = file.need("feed_forward", head).values;
    options.has_feed_forward = true;
  }
  options.isa = layer.isa;
  return {make_vocabulary_attention_model<T>(data, options), "cross entropy"};
}

template <class T>
FileModel<T> gated(const FileTensors& file, const std::string& variant, const AttentionOptions& layer) {
  MultitaskRegression data;
  data.spectrum = file.need("spectrum", 1, "[d]").values;
  const NamedTensor& examples = file.need("examples", 1, "[tasks]");
  data.n_examples = file.whole(examples);
  data.correlations = file.need("correlations", examples.shape).values;
  if (file.has("noise")) data.noise = file.number("noise");
  GatedOptions options;
  if (variant == to_string(ExampleWeights::free)) options.weights = ExampleWeights::free;
  if (variant == to_string(ExampleWeights::constant)) {
    options.weights = ExampleWeights::constant;
    const std::size_t n_gates = data.n_tasks() - 1;
    if (n_gates > 0) options.gates = file.need("gates", std::vector<std::size_t>{n_gates}).values;
  }
  options.isa = layer.isa;
  return {make_gated_model<T>(data, options), "expected squared"};
}

template <class T>
FileModel<T> induction(const FileTensors& file, const std::string& variant, const AttentionOptions& layer) {
  const NamedTensor& sequences = file.need("sequences", 2, "[n, L]");
  InductionData data;
  data.length = sequences.shape[1];
  data.sequences = sequences.values;
  data.targets = file.need("targets", std::vector<std::size_t>{sequences.shape[0]}).values;
  InductionOptions options;
  if (variant == to_string(InductionScores::single)) options.scores = InductionScores::single;
  options.isa = layer.isa;
  return {make_induction_model<T>(data, options), to_string(Loss::squared)};
}

template <class T>
FileModel<T> in_context(const FileTensors& file, const std::string& variant, const FileModelFlags& flags,
                        const AttentionOptions& layer) {
  InContextRegression data;
  data.spectrum = file.need("spectrum", 1, "[d]").values;
  data.n_examples = file.whole({"examples", {1}, {file.number("examples")}})[0];
  InContextOptions options;
  const std::size_t d = data.spectrum.size();
  if (variant == to_string(HeadForm::merged)) {
    options.form = HeadForm::merged;
    if (flags.rank != 0)
      throw InvalidArgument("--rank", "does not go with --variant merged (separate has one)");
    options.n_heads = flags.heads == 0 ? 1 : static_cast<std::size_t>(flags.heads);
  } else {
    options.rank = flags.rank == 0 ? 1 : static_cast<std::size_t>(flags.rank);
    options.n_heads =
        flags.heads == 0 ? (d + options.rank - 1) / options.rank : static_cast<std::size_t>(flags.heads);
    // Below it L* is not reached, and what is said of the gap would be wrong.
    if (options.n_heads < d && options.n_heads * std::min(options.rank, d) < d)
      throw InvalidArgument(
          flags.rank != 0 ? "--rank" : "--heads",
          fmt::format("{} heads of rank {} (need heads times rank to be the dimension of {} "
                      "or more, {})",
                      options.n_heads, options.rank, file.path(), d));
  }
  options.isa = layer.isa;
  return {make_in_context_model<T>(data, options), "expected squared"};
}

// The option, of those that were given, that a size of the model comes from: what does not fit in memory is
// then no fault of the file's.
const CLI::Option* option_of(const std::string& field, const FileModelFlags& flags) {
  const auto given = [](const CLI::Option* option) { return option->count() != 0 ? option : nullptr; };
  if (field == "n_neurons") return given(flags.neurons_option);
  if (field == "rank") return given(flags.rank_option);
  if (field != "n_heads") return nullptr;
  // As large as heads times rank: the larger of the two, each 0 where it was not given.
  return given(flags.rank > flags.heads ? flags.rank_option : flags.heads_option);
}

}  // namespace

void add_file_model_flags(CLI::App& app, FileModelFlags& flags, const std::string& group) {
  std::vector<std::string> texts;
  for (const Kind& kind : kinds)
    if (!kind.variants.empty())
      texts.push_back(fmt::format("{} ({})", fmt::join(kind.variants, ", "), kind.name));
  flags.variant_option =
      app.add_option("--variant", flags.variant,
                     "Form of the model; the first of: " + fmt::format("{}", fmt::join(texts, "; ")));
  flags.variant_option->type_name("NAME")->group(group);
  flags.neurons_option =
      add_whole(app, "--neurons", flags.neurons, 1, most_whole,
                "Hidden neurons (relu, relu_population); not needed with `outer` in the data");
  flags.heads_option = add_whole(app, "--heads", flags.heads, 1, most_whole,
                                 "Heads (in_context); default: as many as the dimensions need");
  flags.rank_option = add_whole(app, "--rank", flags.rank, 1, most_whole,
                                "Rank of a head (in_context, default 1), columns of the factor (variational, "
                                "default: dimensions)");
  for (CLI::Option* option : {flags.neurons_option, flags.heads_option, flags.rank_option})
    option->default_str("")->group(group);
}

const std::vector<std::string>& further_models() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Kind& kind : kinds) out.emplace_back(kind.name);
    return out;
  }();
  return names;
}

bool has_own_file(const std::string& kind) { return kind_of(kind) != nullptr && kind != "diagonal"; }

void check_file_model_flags(const std::string& name, const FileModelFlags& flags) {
  const Kind* kind = kind_of(name);
  const auto refuse = [&](const CLI::Option* option, bool fits) {
    if (option->count() != 0 && !fits)
      throw InvalidArgument(option->get_name(), "does not go with --model " + name);
  };
  refuse(flags.variant_option, kind != nullptr && !kind->variants.empty());
  refuse(flags.neurons_option, kind != nullptr && kind->neurons);
  refuse(flags.heads_option, kind != nullptr && kind->heads);
  refuse(flags.rank_option, kind != nullptr && kind->rank);
  if (kind != nullptr && flags.variant_option->count() != 0 &&
      std::find(kind->variants.begin(), kind->variants.end(), flags.variant) == kind->variants.end())
    throw InvalidArgument("--variant", fmt::format("{} (--model {} has: {})", flags.variant, name,
                                                   fmt::join(kind->variants, ", ")));
}

std::string variant_of(const std::string& name, const FileModelFlags& flags) {
  const Kind* kind = kind_of(name);
  if (!flags.variant.empty()) return flags.variant;
  return kind == nullptr || kind->variants.empty() ? "" : kind->variants[0];
}

bool takes_loss(const std::string& name) {
  const Kind* kind = kind_of(name);
  return kind == nullptr || kind->takes_loss;
}

template <class T>
FileModel<T> make_file_model(const std::string& kind, const FileModelFlags& flags, const std::string& path,
                             const std::string& loss, const AttentionOptions& layer) {
  const FileTensors file(path);
  const std::string variant = variant_of(kind, flags);
  try {
    if (kind == "relu") return relu<T>(file, flags, loss, layer);
    if (kind == "relu_population") return relu_population<T>(file, flags, layer);
    if (kind == "variational") return variational<T>(file, flags, loss, layer);
    if (kind == "vocabulary") return vocabulary<T>(file, variant, layer);
    if (kind == "gated") return gated<T>(file, variant, layer);
    if (kind == "induction") return induction<T>(file, variant, layer);
    return in_context<T>(file, variant, flags, layer);
  } catch (const BadFile&) {
    throw;
  } catch (const InvalidArgument& error) {
    // What the model refuses is in the file, but for options of the command.
    if (error.argument().starts_with("--") || error.argument() == "isa") throw;
    const std::string what = error.what();
    if (const CLI::Option* option = option_of(error.argument(), flags))
      throw InvalidArgument(option->get_name(),
                            option->as<std::string>() + what.substr(std::min(what.find(" ("), what.size())));
    throw BadFile(path, error.what());
  }
}

template FileModel<float> make_file_model(const std::string&, const FileModelFlags&, const std::string&,
                                          const std::string&, const AttentionOptions&);
template FileModel<double> make_file_model(const std::string&, const FileModelFlags&, const std::string&,
                                           const std::string&, const AttentionOptions&);

}  // namespace softstep::program
