// Data sets written while they are drawn, to one file or to shards with an index.

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/data/checked_size.h"
#include "core/data/files/dataset_tensors.h"
#include "core/data/files/output_target.h"
#include "core/data/generated_samples.h"
#include "core/data/text.h"
#include "softstep/files.h"
#include "softstep/large_data.h"

namespace softstep {
namespace {

using data::TensorToWrite;

constexpr std::size_t most_shards = 512;
constexpr std::size_t page = std::size_t{1} << 16;  // the largest that systems have
constexpr std::string_view suffix = ".safetensors";

// A batch of everything but the tokens.
BatchView<double> view_of(const DatasetParts<double>& parts) {
  BatchView<double> view;
  view.n_samples = parts.n_samples;
  view.n_tokens = parts.n_tokens;
  view.dim = parts.dim;
  view.labels = parts.labels.data();
  if (!parts.decoder.empty()) view.decoder = parts.decoder.data();
  if (!parts.queries.empty()) view.queries = parts.queries.data();
  return view;
}

void write_row(OutputFile& file, const std::string& path, const std::string& tensor, const double* x,
               std::size_t size, StoredType type) {
  if (type == StoredType::f64)
    file.write(x, size * sizeof(double));
  else
    for (std::size_t k = 0; k < size; ++k) data::write_number(file, path, tensor, x[k], type);
}

std::size_t bytes_of(const TensorToWrite& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end(), data::dtype_bits(tensor.dtype) / 8,
                         std::multiplies<>());
}

// What the caller's wish to stop throws, up to generate_files(): files that were begun are then removed.
struct Stopped {};

using Take = std::function<void(const double*)>;
using GoesOn = std::function<bool()>;

// Draws all samples, one after another, and asks before each is taken.
DatasetParts<double> draw(const GeneratorOptions& options, const GoesOn& goes_on, const Take& take) {
  data::PassedOn samples([&](const double* x) {
    if (goes_on && !goes_on()) throw Stopped{};
    take(x);
  });
  DatasetParts<double> parts = data::draw_samples(options, samples);
  samples.finish();
  return parts;
}

// Drawn once for all but the tokens and once more for these, as they may come later in the file.
GeneratedFiles write_one(const GeneratorOptions& options, const std::string& path, StoredType type,
                         const GoesOn& goes_on) {
  const DatasetParts<double> parts = draw(options, goes_on, [](const double*) {});
  const BatchView<double> view = view_of(parts);  // looked at until all is written
  std::vector<TensorToWrite> tensors = data::dataset_tensors(path, view, type);
  for (TensorToWrite& tensor : tensors)
    if (tensor.name == "tokens")
      tensor.write = [&](OutputFile& file) {
        draw(options, goes_on,
             [&](const double* x) { write_row(file, path, "tokens", x, parts.n_tokens * parts.dim, type); });
      };
  data::write_tensor_file(path, std::move(tensors), {});
  return {parts.n_samples, parts.n_tokens, parts.dim, {path}};
}

// The first sample of each shard, and the number of all. Large shards end at whole pages.
std::vector<std::size_t> first_samples(std::size_t n_samples, std::size_t n_shards,
                                       std::size_t sample_bytes) {
  const std::size_t at_pages = page / std::gcd(page, sample_bytes);
  const bool is_large = n_samples / n_shards >= at_pages &&
                        n_samples / n_shards > data::MappedFile::largest_copy / sample_bytes;
  const std::size_t unit = is_large ? at_pages : 1, units = n_samples / unit;
  std::vector<std::size_t> out;
  for (std::size_t k = 0; k < n_shards; ++k) out.push_back(units * k / n_shards * unit);
  out.push_back(n_samples);
  return out;
}

std::string numbered(const std::string& stem, std::size_t k, std::size_t n) {
  const auto five = [](std::size_t number) {
    const std::string digits = std::to_string(number);
    return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
  };
  return stem + "-" + five(k) + "-of-" + five(n) + std::string(suffix);
}

// The shards, all open at once, and the index: they get their names when the last is whole, the index last.
class ShardWriter {
 public:
  ShardWriter(const std::string& path, StoredType type, std::size_t n_shards)
      : path_(path), names_(generated_file_names(path, n_shards)), type_(type), n_shards_(n_shards) {}

  void begin(const DatasetParts<double>& shape) {
    sample_size_ = shape.n_tokens * shape.dim;
    shape_ = {0, shape.n_tokens, shape.dim};
    const std::size_t sample_bytes = sample_size_ * data::dtype_bits(data::dtype_of(type_)) / 8;
    if (shape.n_samples < n_shards_)
      throw InvalidArgument("n_shards", std::to_string(n_shards_) + " (need at most one for each of the " +
                                            std::to_string(shape.n_samples) + " samples)");
    first_ = first_samples(shape.n_samples, n_shards_, sample_bytes);
    begins_at_ = (first_[1] - first_[0]) * sample_bytes > data::MappedFile::largest_copy ? page : 8;
  }
  void take(const double* x) {
    if (n_taken_ == first_[files_.size()]) open_next();
    write_row(*files_.back(), path_, "tokens", x, sample_size_, type_);
    ++n_taken_;
  }
  std::vector<std::string> finish() {
    for (const TensorToWrite& tensor : rest_) tensor.write(*files_.back());
    nlohmann::json index = nlohmann::json::object();
    index["metadata"] = nlohmann::json::object();
    index["metadata"]["total_size"] = total_;
    index["weight_map"] = weight_map_;
    const std::string text = index.dump(2) + "\n";
    files_.push_back(std::make_unique<OutputFile>(names_.back()));
    files_.back()->write(text.data(), text.size());
    replace_older();
    return names_;
  }
  /// What comes behind the tokens in the last shard.
  void set_rest(std::vector<TensorToWrite> rest) { rest_ = std::move(rest); }

 private:
  // An older index must not lead to new shards beside old ones, whenever this ends: it goes before the first
  // shard gets its name, and not before everything has found room on the disk.
  void replace_older() {
    for (const auto& file : files_) file->write(nullptr, 0);
    data::remove_output(names_.back());
    for (const auto& file : files_) file->commit();
  }
  void open_next() {
    const std::size_t k = files_.size() + 1;
    const std::string& path = names_[k - 1];
    const std::string name = path.substr(path.rfind('/') + 1);
    std::vector<TensorToWrite> tensors(1);
    tensors[0] = {"tokens." + std::to_string(k), data::dtype_of(type_), shape_, {}};
    tensors[0].shape[0] = first_[k] - first_[k - 1];
    if (k == n_shards_) tensors.insert(tensors.end(), rest_.begin(), rest_.end());
    for (const TensorToWrite& tensor : tensors) {
      weight_map_[tensor.name] = name;
      total_ += bytes_of(tensor);
    }
    const std::string header = data::header_text(path, tensors, {}, begins_at_);
    files_.push_back(std::make_unique<OutputFile>(path));
    files_.back()->write_value(static_cast<std::uint64_t>(header.size()));
    files_.back()->write(header.data(), header.size());
  }

  std::string path_;
  std::vector<std::string> names_;
  StoredType type_;
  std::size_t n_shards_, sample_size_ = 0, n_taken_ = 0, total_ = 0, begins_at_ = 8;
  std::vector<std::size_t> shape_, first_;
  std::vector<TensorToWrite> rest_;
  std::vector<std::unique_ptr<OutputFile>> files_;
  // Objects from the start: a null that becomes one is left without contents where memory runs out.
  nlohmann::json weight_map_ = nlohmann::json::object();
};

// What is written besides tokens, widest first, so that each is aligned to its elements.
std::vector<TensorToWrite> all_but_tokens(const std::string& path, const BatchView<double>& view,
                                          StoredType type) {
  std::vector<TensorToWrite> out = data::dataset_tensors(path, view, type);
  std::erase_if(out, [](const TensorToWrite& tensor) { return tensor.name == "tokens"; });
  std::stable_sort(out.begin(), out.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    return data::dtype_bits(a.dtype) > data::dtype_bits(b.dtype);
  });
  return out;
}

GeneratedFiles write_shards(const GeneratorOptions& options, const std::string& path, StoredType type,
                            std::size_t n_shards, const GoesOn& goes_on) {
  ShardWriter shards(path, type, n_shards);
  // Once for what is known of the shapes before the tokens are written, and once for these.
  const DatasetParts<double> parts = draw(options, goes_on, [](const double*) {});
  const BatchView<double> view = view_of(parts);  // looked at until all is written
  shards.begin(parts);
  shards.set_rest(all_but_tokens(path, view, type));
  draw(options, goes_on, [&](const double* x) { shards.take(x); });
  return {parts.n_samples, parts.n_tokens, parts.dim, shards.finish()};
}

}  // namespace

std::vector<std::string> generated_file_names(const std::string& path, std::size_t n_shards) {
  if (n_shards == 0) return {path};
  if (n_shards > most_shards)
    throw InvalidArgument("n_shards",
                          std::to_string(n_shards) + " (need at most " + std::to_string(most_shards) + ")");
  if (!path.ends_with(suffix) || std::filesystem::path(path).filename() == suffix)
    throw InvalidArgument("path", data::name_text(path) + " (of shards it must end in .safetensors)");
  std::vector<std::string> names;
  for (std::size_t k = 1; k <= n_shards; ++k)
    names.push_back(numbered(path.substr(0, path.size() - suffix.size()), k, n_shards));
  names.push_back(path + ".index.json");
  return names;
}

GeneratedFiles generate_files(const GeneratorOptions& options, const std::string& path, StoredType wanted,
                              std::size_t n_shards, const std::function<bool()>& goes_on) {
  const StoredType type = wanted == StoredType::working ? StoredType::f64 : wanted;
  try {
    return n_shards == 0 ? write_one(options, path, type, goes_on)
                         : write_shards(options, path, type, n_shards, goes_on);
  } catch (const Stopped&) {
    return {};
  }
}

}  // namespace softstep
