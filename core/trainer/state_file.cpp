// Training states as safetensors files. Tensors: a block by its name, `master.<block>` where it is kept in
// double beside, `remainder.<block>` where in twice the digits, `rule_state.<block>.<name>` for what its rule
// remembers, `span.base`, `span.coefficients`, `span.projected`, `span.remainder` and `span.recent` after a
// form that keeps them. Metadata: `format`, `model` (Model::identity), `rules`, `normalization`, `batches`,
// `form`, `step`, `seconds`, `isa` and `note.<name>`, which are told and not asked for, and `checksum`, a
// digest of all the rest.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/data/digest.h"
#include "core/data/text.h"
#include "core/trainer/compensation.h"
#include "core/trainer/state_file.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/trainer.h"

namespace softstep {
namespace {

using Metadata = std::vector<std::pair<std::string, std::string>>;

constexpr const char* format = "softstep-state-3";
const std::string master_prefix = "master.", remainder_prefix = "remainder.", rule_prefix = "rule_state.",
                  span_prefix = "span.";

template <class T>
constexpr StoredType working = sizeof(T) == 4 ? StoredType::f32 : StoredType::f64;

template <class T>
std::string rules_text(const TrainerOptions& options) {
  std::string text;
  for (const RuleSettings& settings : options.rules)
    text += (text.empty() ? "" : ";") + make_step_rule<T>(settings)->settings_text();
  return text;
}

std::string batches_text(const TrainerOptions& options) {
  return options.batch_size == 0
             ? "all"
             : std::to_string(options.batch_size) + " from seed " + std::to_string(options.batch_seed);
}

[[noreturn]] void refuse_damaged(const std::string& path) {
  throw BadFile(path, "is damaged: its checksum does not match what it holds");
}

const std::string& value_of(const std::string& path, const Metadata& metadata, const std::string& key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return value;
  throw BadFile(path, "is not a saved training state (no metadata `" + key + "`)");
}

template <class Number>
Number parse(const std::string& path, const Metadata& metadata, const std::string& key, double largest) {
  const std::string& text = value_of(path, metadata, key);
  Number value{};
  if (!data::read_number(text, value) || !(value >= Number{}) || !(static_cast<double>(value) <= largest))
    throw BadFile(path, "metadata `" + key + "` is " + data::name_text(text) + " (need a number from 0 to " +
                            data::number_text(largest) + ")");
  return value;
}

// The tensors of a file, each taken once.
class Tensors {
 public:
  Tensors(const std::string& path, std::vector<NamedTensor> tensors)
      : path_(path), tensors_(std::move(tensors)), taken_(tensors_.size(), false) {}

  const NamedTensor* find(const std::string& name) {
    for (std::size_t k = 0; k < tensors_.size(); ++k)
      if (tensors_[k].name == name) {
        taken_[k] = true;
        return &tensors_[k];
      }
    return nullptr;
  }
  const NamedTensor& get(const std::string& name) {
    if (const NamedTensor* found = find(name)) return *found;
    throw BadFile(path_, "has no tensor " + data::name_text(name));
  }
  void require_all_taken() const {
    for (std::size_t k = 0; k < tensors_.size(); ++k)
      if (!taken_[k])
        throw BadFile(path_, "has a tensor " + data::name_text(tensors_[k].name) +
                                 " that is no part of this run's state");
  }
  /// Throws unless the tensor has this many entries, and all are numbers.
  void check(const NamedTensor& tensor, std::size_t size, bool may_be_infinite) const {
    if (tensor.values.size() != size)
      throw BadFile(path_, "tensor " + data::name_text(tensor.name) + " has " +
                               std::to_string(tensor.values.size()) + " entries (need " +
                               std::to_string(size) + ")");
    for (const double x : tensor.values)
      if (std::isnan(x) || (!may_be_infinite && std::isinf(x)))
        throw BadFile(path_, "tensor " + data::name_text(tensor.name) + " is not finite");
  }

 private:
  const std::string& path_;
  std::vector<NamedTensor> tensors_;
  std::vector<bool> taken_;
};

template <class T>
std::vector<T> in_working(const std::string& path, const NamedTensor& tensor) {
  if (tensor.type != working<T>)
    throw InvalidArgument(path, "was saved in another precision than the run asked for");
  return {tensor.values.begin(), tensor.values.end()};
}

template <class T>
RuleState read_memory(const std::string& path, Tensors& tensors, const BlockShape& shape,
                      const StepRule<T>& rule) {
  RuleState state;
  std::size_t n_missing = 0;
  std::string missing;
  const std::vector<RuleMemory> memory = rule.memory();
  for (const RuleMemory& field : memory) {
    const std::string name = rule_prefix + shape.name + "." + field.name;
    const NamedTensor* tensor = tensors.find(name);
    if (tensor == nullptr) {
      ++n_missing;
      missing = name;
      continue;
    }
    // A rule may keep a bound that is infinite at first.
    tensors.check(*tensor, field.size == 0 ? shape.size() : field.size, field.size != 0);
    state.values[field.name] = tensor->values;
  }
  // None at all before the first step that moves.
  if (n_missing != 0 && n_missing != memory.size())
    throw BadFile(path, "has no tensor " + data::name_text(missing));
  return state;
}

// All that a form may keep, with its name in the file.
template <class Span>
auto span_arrays(Span& span) {
  return std::vector{std::pair{"base", &span.base}, std::pair{"coefficients", &span.coefficients},
                     std::pair{"projected", &span.projected}, std::pair{"remainder", &span.remainder},
                     std::pair{"recent", &span.recent}};
}

template <class T>
void read_span(const std::string& path, const Metadata& metadata, Tensors& tensors, TrainState<T>& state) {
  state.span.form = parse_form(value_of(path, metadata, "form"));
  const bool is_dense = state.span.form == Form::dense;
  for (const auto& [name, values] : span_arrays(state.span))
    if (const NamedTensor* tensor = tensors.find(span_prefix + name)) {
      tensors.check(*tensor, tensor->values.size(), false);
      *values = in_working<T>(path, *tensor);
    }
  // As large as W; of a span form as many as there are coefficients.
  const auto require = [&](const char* name, const std::vector<T>& values, std::size_t size,
                           bool may_be_empty) {
    if (values.size() != size && !(may_be_empty && values.empty()))
      throw BadFile(path, "tensor `" + (span_prefix + name) + "` has " + std::to_string(values.size()) +
                              " entries (need " + std::to_string(size) + ")");
  };
  require("base", state.span.base, state.blocks[0].size(), true);
  if (is_dense) {
    const std::size_t size = state.span.base.size();
    require("projected", state.span.projected, size, false);
    require("remainder", state.span.remainder, size, false);
    return;
  }
  tensors.get(span_prefix + "coefficients");
  tensors.get(span_prefix + "projected");
  const std::size_t size = state.span.coefficients.size(), kept = is_compensated<T> ? size : 0;
  require("remainder", state.span.remainder, kept, false);
  require("recent", state.span.recent, kept, false);
  if (state.span.projected.size() != state.span.coefficients.size())
    throw BadFile(path, "tensors `span.projected` and `span.coefficients` have " +
                            std::to_string(state.span.projected.size()) + " and " +
                            std::to_string(state.span.coefficients.size()) + " entries (need equally many)");
}

void require_format(const std::string& path, const Metadata& metadata) {
  const std::string& found = value_of(path, metadata, "format");
  if (found == format) return;
  if (found == "softstep-state-2" || found == "softstep-model-state-1")
    throw BadFile(path, "is of the older format " + found + ", which cannot be resumed (need " + format +
                            "); its weights can be the start of a new run");
  throw BadFile(path, "has state format " + data::name_text(found) + " (need " + format + ")");
}

}  // namespace

std::string state_checksum(const std::vector<NamedTensor>& tensors, const Metadata& metadata) {
  // In the order of their names: a file may list them in another.
  std::vector<const NamedTensor*> sorted;
  for (const NamedTensor& tensor : tensors) sorted.push_back(&tensor);
  std::sort(sorted.begin(), sorted.end(), [](auto a, auto b) { return a->name < b->name; });
  Metadata pairs = metadata;
  std::sort(pairs.begin(), pairs.end());
  data::Digest digest;
  for (const NamedTensor* tensor : sorted) {
    digest.add(tensor->name);
    digest.add(tensor->shape.data(), tensor->shape.size());
    digest.add(tensor->values.data(), tensor->values.size());
  }
  for (const auto& [key, value] : pairs) {
    if (key == "checksum") continue;
    digest.add(key);
    digest.add(value);
  }
  return digest.text();
}

template <NumberType T>
Metadata state_metadata(const Model<T>& model, const TrainerOptions& options) {
  return {{"rules", rules_text<T>(options)},
          {"normalization", to_string(options.normalization)},
          {"batches", batches_text(options)},
          {"model", model.identity()}};
}
template Metadata state_metadata(const Model<float>&, const TrainerOptions&);
template Metadata state_metadata(const Model<double>&, const TrainerOptions&);

void require_whole_state(const std::string& path) {
  Metadata metadata;
  const std::vector<NamedTensor> loaded = load_tensors(path, &metadata);
  if (value_of(path, metadata, "checksum") != state_checksum(loaded, metadata)) refuse_damaged(path);
}

template <NumberType T>
std::vector<NamedTensor> state_tensors(const Model<T>& model, const TrainState<T>& state) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape, const auto& values,
                       StoredType type) {
    tensors.push_back({name, shape, {values.begin(), values.end()}, type});
  };
  for (std::size_t k = 0; k < state.blocks.size(); ++k) {
    const BlockShape& block = model.blocks()[k];
    const std::vector<std::size_t> shape = {block.n_rows, block.n_cols};
    add(block.name, shape, state.blocks[k], working<T>);
    if (k < state.masters.size() && !state.masters[k].empty())
      add(master_prefix + block.name, shape, state.masters[k], StoredType::f64);
    if (k < state.remainders.size() && !state.remainders[k].empty())
      add(remainder_prefix + block.name, shape, state.remainders[k], working<T>);
    if (k < state.rule_states.size())
      for (const auto& [name, values] : state.rule_states[k].values)
        add(rule_prefix + block.name + "." + name, {values.size()}, values, StoredType::f64);
  }
  for (const auto& [name, values] : span_arrays(state.span))
    if (!values->empty()) add(span_prefix + name, {values->size()}, *values, working<T>);
  return tensors;
}
template std::vector<NamedTensor> state_tensors(const Model<float>&, const TrainState<float>&);
template std::vector<NamedTensor> state_tensors(const Model<double>&, const TrainState<double>&);

template <NumberType T>
void save_state(const std::string& path, const Model<T>& model, const TrainState<T>& state,
                const TrainerOptions& options, const StateNotes& notes) {
  const std::vector<NamedTensor> tensors = state_tensors(model, state);
  Metadata metadata = state_metadata(model, options);
  metadata.emplace_back("format", format);
  metadata.emplace_back("form", to_string(state.span.form));
  metadata.emplace_back("step", std::to_string(state.step));
  metadata.emplace_back("seconds", data::exact_text(state.seconds));
  metadata.emplace_back("isa", model.isa());
  for (const auto& [name, text] : notes) metadata.emplace_back("note." + name, text);
  metadata.emplace_back("checksum", state_checksum(tensors, metadata));
  save_tensors(path, tensors, metadata);
}

template <NumberType T>
TrainState<T> load_state(const std::string& path, const Model<T>& model, const TrainerOptions& options) {
  Metadata metadata;
  std::vector<NamedTensor> loaded = load_tensors(path, &metadata);
  require_format(path, metadata);
  const bool intact = value_of(path, metadata, "checksum") == state_checksum(loaded, metadata);
  for (const auto& [key, wanted] : state_metadata(model, options))
    if (const std::string& found = value_of(path, metadata, key); found != wanted)
      throw InvalidArgument(
          path, "was saved with " + key + " " + data::name_text(found) + " and cannot go on with " + wanted);
  Tensors tensors(path, std::move(loaded));
  TrainState<T> state;
  // Every whole number up to 2^53 is one of double too.
  state.step = parse<std::int64_t>(path, metadata, "step", 9007199254740992.0);
  state.seconds = parse<double>(path, metadata, "seconds", 1e300);
  for (std::size_t k = 0; k < model.blocks().size(); ++k) {
    const BlockShape& shape = model.blocks()[k];
    const NamedTensor& block = tensors.get(shape.name);
    if (block.shape != std::vector<std::size_t>{shape.n_rows, shape.n_cols})
      throw BadFile(path, "tensor " + data::name_text(shape.name) + " is " + data::shape_text(block.shape) +
                              " (need " + data::shape_text({shape.n_rows, shape.n_cols}) + ")");
    tensors.check(block, shape.size(), false);
    state.blocks.push_back(in_working<T>(path, block));
    std::vector<double> master;
    if (const NamedTensor* found = tensors.find(master_prefix + shape.name)) {
      tensors.check(*found, shape.size(), false);
      master = found->values;
    }
    state.masters.push_back(std::move(master));
    std::vector<T> remainder;
    if (const NamedTensor* found = tensors.find(remainder_prefix + shape.name)) {
      tensors.check(*found, shape.size(), false);
      remainder = in_working<T>(path, *found);
    }
    state.remainders.push_back(std::move(remainder));
    state.rule_states.push_back(read_memory(path, tensors, shape, *make_step_rule<T>(options.rule(k))));
  }
  read_span(path, metadata, tensors, state);
  tensors.require_all_taken();
  if (!intact) refuse_damaged(path);
  return state;
}

template void save_state(const std::string&, const Model<float>&, const TrainState<float>&,
                         const TrainerOptions&, const StateNotes&);
template void save_state(const std::string&, const Model<double>&, const TrainState<double>&,
                         const TrainerOptions&, const StateNotes&);
template TrainState<float> load_state(const std::string&, const Model<float>&, const TrainerOptions&);
template TrainState<double> load_state(const std::string&, const Model<double>&, const TrainerOptions&);

}  // namespace softstep
