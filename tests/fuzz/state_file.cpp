// A state file with any bytes, as `--resume` and checkpoints read it: refused in one line, or a run goes on
// from it to numbers. Nearly every change of a file breaks its checksum, so what can be read is also given
// the checksum of what it holds and the names of the run that reads it. Then what is refused is refused for
// what it says. Half of the changes are made to what a file says and not to its bytes.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/trainer/state_file.h"
#include "memory_file.h"
#include "softstep/attention_model.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/trainer.h"

using namespace softstep;
using fuzz::require;

namespace {

using Metadata = std::vector<std::pair<std::string, std::string>>;

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const InvalidArgument& error) {
    require(fuzz::is_one_line(error.what()));
  }
}

// One data set of four samples, in both precisions, with tokens that are wide enough for the forms of a span.
template <class T>
const Dataset<T>& data() {
  static const Dataset<T> set = [] {
    GeneratorOptions options;
    options.n_samples = 4;
    options.n_tokens = 3;
    options.dim = 5;
    return convert<T>(generate(options));
  }();
  return set;
}

// A safetensors file of these, by the format and not by the library's writer, which would go to the disk.
std::string file_of(const std::vector<NamedTensor>& tensors, const Metadata& metadata) {
  nlohmann::json header;
  std::string body;
  for (const NamedTensor& tensor : tensors) {
    const std::size_t begin = body.size();
    for (const double x : tensor.values) {
      const auto single = static_cast<float>(x);
      if (tensor.type == StoredType::f32)
        body.append(reinterpret_cast<const char*>(&single), sizeof single);
      else
        body.append(reinterpret_cast<const char*>(&x), sizeof x);
    }
    header[tensor.name] = {{"dtype", tensor.type == StoredType::f32 ? "F32" : "F64"},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, body.size()}}};
  }
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  while (text.size() % 8 != 0) text += ' ';
  const std::uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + body;
}

// The file with the checksum that belongs to it.
std::string sealed(std::vector<NamedTensor> tensors, Metadata metadata) {
  for (NamedTensor& tensor : tensors)
    if (tensor.type != StoredType::f32) tensor.type = StoredType::f64;
  std::erase_if(metadata, [](const auto& pair) { return pair.first == "checksum"; });
  metadata.emplace_back("checksum", state_checksum(tensors, metadata));
  return file_of(tensors, metadata);
}

// One change of what a state says: a name, a size, a number, a word of the metadata, a tensor too few or
// many.
void change(std::vector<NamedTensor>& tensors, Metadata& metadata, std::minstd_rand& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() >> 8) % n; };
  const auto respell = [&](std::string& text) {
    const char letter = "\n\x01./_019-e"[below(11)];
    const std::size_t at = below(text.size() + 1);
    if (below(2) == 0 && at < text.size())
      text[at] = letter;
    else
      text.insert(at, 1, letter);
  };
  if (tensors.empty() || below(4) == 0) {
    if (!metadata.empty()) respell(metadata[below(metadata.size())].second);
    return;
  }
  NamedTensor& tensor = tensors[below(tensors.size())];
  switch (below(5)) {
    case 0:
      return respell(tensor.name);
    case 1: {  // longer or shorter along one axis
      if (tensor.shape.empty()) return;
      std::size_t& n = tensor.shape[below(tensor.shape.size())];
      if (below(2) == 0 && n > 0)
        --n;
      else
        ++n;
      std::size_t size = 1;
      for (const std::size_t axis : tensor.shape) size *= axis;
      tensor.values.resize(size, 1.0);
      return;
    }
    case 2: {
      constexpr double none = std::numeric_limits<double>::quiet_NaN(),
                       infinite = std::numeric_limits<double>::infinity();
      const double numbers[] = {none,    infinite, -infinite,         0.0, -1.0, 1e300,
                                -1e-300, 0.5,      9007199254740994.0};
      if (!tensor.values.empty()) tensor.values[below(tensor.values.size())] = numbers[below(9)];
      return;
    }
    case 3:
      tensors.erase(tensors.begin() + (&tensor - tensors.data()));
      return;
    default:
      tensors.push_back(tensor);
      respell(tensors.back().name);
  }
}

template <class T>
struct Run {
  AttentionModel<T> model;
  TrainerOptions options;
  Metadata shared;  // what a state of this run says of it

  Run(const AttentionOptions& how, const std::string& rule, const TrainerOptions& more)
      : model(data<T>().view(), how), options(more) {
    options.rules = {parse_rule(rule)};
    options.n_steps = 2;
    shared = state_metadata(model, options);
  }
  void resume(const std::string& path) const {
    TrainState<T> state = load_state(path, model, options);
    // All that stands in the file is in the state, and in the sizes that it has there.
    std::vector<NamedTensor> read = load_tensors(path), kept = state_tensors(model, state);
    for (std::vector<NamedTensor>* tensors : {&read, &kept})
      std::sort(tensors->begin(), tensors->end(),
                [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
    std::erase_if(read, [](const NamedTensor& tensor) { return tensor.values.empty(); });
    require(std::equal(
        read.begin(), read.end(), kept.begin(), kept.end(),
        [](const NamedTensor& a, const NamedTensor& b) { return a.name == b.name && a.shape == b.shape; }));
    const TrainSummary summary = train(model, state, options);
    require(summary.status == TrainStatus::not_finite || std::isfinite(summary.last.loss));
    require(summary.steps <= 2);
  }
  void resume_as_own(const std::vector<NamedTensor>& tensors, Metadata metadata) const {
    for (const auto& [key, value] : shared) {
      std::erase_if(metadata, [&name = key](const auto& pair) { return pair.first == name; });
      metadata.emplace_back(key, value);
    }
    const std::string bytes = sealed(tensors, std::move(metadata));
    const fuzz::MemoryFile file(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    attempt([&] { resume(file.path()); });
  }
};

struct Runs {
  Run<double> dense, span;
  Run<float> adam, joint, token_span;
};

const Runs& runs() {
  static const Runs all = [] {
    TrainerOptions plain, masters, query_span, token_span, joint;
    plain.form = Form::dense;
    masters.master_weights = MasterWeights::float64;
    query_span.form = Form::query_span;
    token_span.form = Form::token_span;
    joint.normalization = Normalization::joint;
    joint.batch_size = 2;
    AttentionOptions trained;
    trained.train_decoder = true;
    trained.optimal_loss = OptimalLoss::zero;
    return Runs{{{}, "momentum", plain},
                {{}, "ngd", query_span},
                {{}, "adam", masters},
                {trained, "momentum", joint},
                {{}, "gd", token_span}};
  }();
  return all;
}

}  // namespace

// Of libFuzzer; other engines may not have it.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size,
                                                              std::size_t most);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t most,
                                               unsigned seed) {
  std::minstd_rand random(seed);
  if (LLVMFuzzerMutate != nullptr && random() % 2 == 0) return LLVMFuzzerMutate(bytes, size, most);
  std::string changed;
  try {
    const fuzz::MemoryFile file(bytes, size);
    Metadata metadata;
    std::vector<NamedTensor> tensors = load_tensors(file.path(), &metadata);
    for (auto n = 1 + random() % 2; n > 0; --n) change(tensors, metadata, random);
    changed = sealed(std::move(tensors), std::move(metadata));
  } catch (const Error&) {
    return LLVMFuzzerMutate != nullptr ? LLVMFuzzerMutate(bytes, size, most) : size;
  }
  if (changed.size() > most) return size;
  std::copy(changed.begin(), changed.end(), bytes);
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 1 << 14) return 0;
  const fuzz::MemoryFile file(bytes, size);
  attempt([&] { require_whole_state(file.path()); });
  attempt([&] { runs().dense.resume(file.path()); });
  attempt([&] { runs().adam.resume(file.path()); });
  attempt([&] {
    Metadata metadata;
    const std::vector<NamedTensor> tensors = load_tensors(file.path(), &metadata);
    runs().dense.resume_as_own(tensors, metadata);
    runs().span.resume_as_own(tensors, metadata);
    runs().adam.resume_as_own(tensors, metadata);
    runs().joint.resume_as_own(tensors, metadata);
    runs().token_span.resume_as_own(tensors, metadata);
  });
  return 0;
}
