#pragma once

// Models that `train` trains on files of their own: networks, and the systems of neighbouring papers.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softstep/attention_model.h"
#include "softstep/model.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace softstep::program {

/// Sizes and forms that some kinds of models have.
struct FileModelFlags {
  std::string variant;
  std::int64_t neurons = 0, heads = 0, rank = 0;  ///< 0: not given
  CLI::Option *variant_option = nullptr, *neurons_option = nullptr, *heads_option = nullptr,
              *rank_option = nullptr;
};
void add_file_model_flags(CLI::App& app, FileModelFlags& flags, const std::string& group);

/// What --model takes beside attention, logistic and multiclass: those with a file of their own, and
/// "diagonal", which takes a data set.
const std::vector<std::string>& further_models();
bool has_own_file(const std::string& kind);
/// Whether --loss chooses among losses of this kind.
bool takes_loss(const std::string& kind);
/// Throws InvalidArgument for options that the kind does not have, and for a variant that is none of its.
void check_file_model_flags(const std::string& kind, const FileModelFlags& flags);
/// The variant asked for, or the first of the kind.
std::string variant_of(const std::string& kind, const FileModelFlags& flags);

template <class T>
struct FileModel {
  std::unique_ptr<Model<T>> model;
  std::string loss;  ///< its name
};
/// The model of this kind on the data of a file. `loss` is that of --loss, or empty if none was asked for.
/// Throws BadFile naming file and tensor, InvalidArgument naming the option, IoError.
template <class T>
FileModel<T> make_file_model(const std::string& kind, const FileModelFlags& flags, const std::string& path,
                             const std::string& loss, const AttentionOptions& layer);

}  // namespace softstep::program
