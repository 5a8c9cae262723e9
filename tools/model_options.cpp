#include "model_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "interrupt.h"
#include "points.h"
#include "run_report.h"
#include "softstep/diagonal_attention.h"
#include "softstep/error.h"
#include "softstep/max_margin.h"

namespace softstep::program {

bool ModelFlags::any() const {
  return joint || prompt || rank_option->count() != 0 || kind != "attention" || batch_size != 0;
}

std::string ModelFlags::name() const {
  if (kind != "attention") return kind;
  std::string text = joint ? "joint " : "";
  text += rank_option->count() != 0 ? "factored" : prompt ? "prompt" : joint ? "" : "attention";
  while (text.back() == ' ') text.pop_back();
  return text;
}

void ModelFlags::check() const {
  const bool factored = rank_option->count() != 0;
  if (factored && prompt)
    throw InvalidArgument("--prompt", "does not go with --factored: choose one of the two");
  if (kind != "attention")
    for (const CLI::Option* option : {joint_option, rank_option, prompt_option})
      if (option->count() != 0)
        throw InvalidArgument(
            option->get_name(),
            fmt::format("does not go with --model {}, {}", kind,
                        kind == "diagonal" ? "which trains K and Q alone" : "which has no attention"));
  check_file_model_flags(kind, file_model);
  if (!joint && decoder_rule_option->count() != 0)
    throw InvalidArgument("--decoder-rule", "only goes with --joint");
  if (!any() && normalization_option->count() != 0)
    throw InvalidArgument("--normalization", "only goes with --joint or --factored");
}

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  const std::string group = "Models of other trained blocks";
  std::vector<std::string> kinds = {"attention", "logistic", "multiclass"};
  kinds.insert(kinds.end(), further_models().begin(), further_models().end());
  flags.joint_option =
      app.add_flag("--joint", flags.joint, "Train the decoder u with W; L* is then 0")->group(group);
  flags.rank_option =
      add_whole(app, "--factored", flags.rank, 1, most_whole, "Train K and Q of this rank, W = K Q^T");
  flags.rank_option->default_str("")->type_name("RANK")->group(group);
  flags.prompt_option =
      app.add_flag("--prompt", flags.prompt, "Train one vector p in place of W z")->group(group);
  flags.kind_option = add_word(
      app, "--model,--model-kind", flags.kind, kinds,
      "What is trained: attention; linear logistic regression on the first token of each sample; "
      "softmax regression on a file of `features` and `classes`; attention with K and Q diagonal; or "
      "one of the models with a file of their own");
  flags.kind_option->group(group);
  flags.decoder_rule_option =
      app.add_option("--decoder-rule", flags.decoder_rule, "Step rule of u, with --joint; default: that of W")
          ->type_name("RULE")
          ->group(group);
  flags.normalization_option =
      add_word(app, "--normalization", flags.normalization, {"separate", "joint"},
               "Each block by its own gradient, or all by the norm of the whole gradient");
  flags.normalization_option->group(group);
  flags.batch_option = add_whole(app, "--batch-size", flags.batch_size, 1, most_whole,
                                 "Samples a step sees, in an order drawn anew each epoch from --seed");
  flags.batch_option->default_str("all")->group(group);
  add_file_model_flags(app, flags.file_model, group);
}

template <class T>
std::unique_ptr<Model<T>> make_model(const ModelFlags& flags, const BatchView<T>& batch,
                                     const AttentionOptions& layer) {
  if (flags.kind == "logistic")
    return make_linear_model(batch, {.loss = layer.loss,
                                     .optimal_loss = layer.optimal_loss,
                                     .optimal_loss_value = layer.optimal_loss_value,
                                     .isa = layer.isa});
  if (flags.kind == "diagonal") {
    DiagonalAttentionOptions options;
    if (variant_of(flags.kind, flags.file_model) == to_string(DiagonalForm::combined))
      options.form = DiagonalForm::combined;
    options.loss = layer.loss;
    options.optimal_loss = layer.optimal_loss;
    options.optimal_loss_value = layer.optimal_loss_value;
    options.n_threads = layer.n_threads;
    options.isa = layer.isa;
    return make_diagonal_attention_model(batch, options);
  }
  AttentionOptions options = layer;
  options.train_decoder = flags.joint;
  if (flags.rank_option->count() != 0) {
    options.key_query = KeyQuery::factored;
    options.rank = static_cast<std::size_t>(flags.rank);
  } else if (flags.prompt) {
    options.key_query = KeyQuery::prompt;
  }
  return make_attention_model(batch, options);
}

namespace {

// Every query the first unit vector: W_mm has p in its first column.
template <class T>
MaxMarginResult solve_prompt(BatchView<T> batch, const MaxMarginOptions& options) {
  std::vector<T> queries(batch.n_samples * batch.dim, T(0));
  for (std::size_t i = 0; i < batch.n_samples; ++i) queries[i * batch.dim] = T(1);
  batch.queries = queries.data();
  batch.query_stride = 0;
  batch.query_index = nullptr;
  batch.query_offsets = {};
  batch.query_weights = {};
  batch.all_tokens_are_queries = false;
  MaxMarginResult solved = solve_max_margin(batch, options);
  for (std::size_t j = 0; j < batch.dim && !solved.weights.empty(); ++j)
    solved.weights[j] = solved.weights[j * batch.dim];
  if (!solved.weights.empty()) solved.weights.resize(batch.dim);
  return solved;
}

void add_reference(const char* what, MaxMarginResult solved, ModelReferences& references) {
  references.json[what] = reference_json(solved);
  if (!is_direction(solved)) {
    references.notes.push_back(fmt::format(
        "no direction to compare the {} with: the max-margin problem is {}", what, to_string(solved.status)));
    solved.weights.clear();
  }
  references.directions.push_back(std::move(solved.weights));
}

MaxMarginOptions solver_options(int n_threads) {
  MaxMarginOptions options;
  options.n_threads = n_threads;
  options.ranks = ranks_of_job();
  options.progress = [](std::size_t, double, double) { return !interrupted(); };
  return options;
}

}  // namespace

// Softmax regression goes to the margin of next tokens whose contexts have one each.
ModelReferences solve_class_references(const MulticlassData& data, int n_threads) {
  std::vector<std::vector<std::size_t>> supports;
  for (const std::size_t y : data.classes) supports.push_back({y});
  ModelReferences references;
  add_reference("weights",
                solve_next_token_max_margin(data.features, data.dim, data.n_classes, supports,
                                            solver_options(n_threads))
                    .solution,
                references);
  return references;
}

template <class T>
ModelReferences solve_references(const ModelFlags& flags, const BatchView<T>& batch, int n_threads) {
  ModelReferences references;
  const MaxMarginOptions options = solver_options(n_threads);
  const auto add = [&](const char* what, MaxMarginResult solved) {
    add_reference(what, std::move(solved), references);
  };
  if (flags.kind == "logistic") {
    add("weights", solve_points(batch, {}, options));
    return references;
  }
  if (batch.decoder == nullptr) {
    references.notes.emplace_back(
        "no direction to compare with: without a decoder in the data, no token is the optimal one");
    return references;
  }
  add("weights", flags.prompt ? solve_prompt(batch, options) : solve_max_margin(batch, options));
  if (flags.joint) add("decoder", solve_points(batch, score_tokens(batch).optimal, options));
  return references;
}

template std::unique_ptr<Model<float>> make_model(const ModelFlags&, const BatchView<float>&,
                                                  const AttentionOptions&);
template std::unique_ptr<Model<double>> make_model(const ModelFlags&, const BatchView<double>&,
                                                   const AttentionOptions&);
template ModelReferences solve_references(const ModelFlags&, const BatchView<float>&, int);
template ModelReferences solve_references(const ModelFlags&, const BatchView<double>&, int);

}  // namespace softstep::program
