#pragma once

// What `train` trains beside the key-query matrix of a layer with a fixed decoder: options, model,
// references.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "file_models.h"
#include "options.h"
#include "output.h"
#include "softstep/attention_model.h"
#include "softstep/linear_model.h"
#include "softstep/multiclass.h"
#include "softstep/trainer.h"

namespace softstep::program {

struct ModelFlags {
  std::string kind = "attention", decoder_rule, normalization = "separate";
  bool joint = false, prompt = false;
  std::int64_t rank = 0, batch_size = 0;
  CLI::Option *joint_option = nullptr, *rank_option = nullptr, *prompt_option = nullptr,
              *kind_option = nullptr, *decoder_rule_option = nullptr, *batch_option = nullptr,
              *normalization_option = nullptr;
  FileModelFlags file_model = {};

  /// Whether any of them asks for a model of its own.
  bool any() const;
  /// "joint", "factored", "joint factored", "prompt", "logistic", "multiclass", ..., for people.
  std::string name() const;
  /// Throws InvalidArgument for what does not go together.
  void check() const;
  /// Whether the data are points of several classes, and no batch of token sequences.
  bool has_classes() const { return kind == "multiclass"; }
  /// Whether the data are of a file of the kind's own (file_models.h), and no batch of token sequences.
  bool has_file_model() const { return has_own_file(kind); }
  /// Whether there is a direction to compare this kind with.
  bool has_reference() const { return !has_file_model() && kind != "diagonal"; }
  /// Whether the batch's decoder is not used by the model.
  bool needs_no_decoder() const { return joint || kind == "logistic"; }
};
void add_model_flags(CLI::App& app, ModelFlags& flags);

/// The model that the flags ask for. Throws InvalidArgument.
template <class T>
std::unique_ptr<Model<T>> make_model(const ModelFlags& flags, const BatchView<T>& batch,
                                     const AttentionOptions& layer);

/// The max-margin directions of what the model watches, in its order. One is empty if there is none; a note
/// says why.
struct ModelReferences {
  std::vector<std::vector<double>> directions;
  Json json = Json::object();  ///< by the name of what is watched, with the keys of `solve`
  std::vector<std::string> notes;
};
/// Likewise of points of several classes.
ModelReferences solve_class_references(const MulticlassData& data, int n_threads);
template <class T>
ModelReferences solve_references(const ModelFlags& flags, const BatchView<T>& batch, int n_threads);

}  // namespace softstep::program
