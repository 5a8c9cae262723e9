// Training states of models as safetensors files: one tensor per block by its name, `master.<name>` where kept in double beside,
// `rule_state.<block>.<name>`, and metadata `format`, `rules`, `normalization`, `batches`, `step`, `seconds`.

#include "core/trainer/state_text.h"
#include "softstep/dataset.h"
#include "softstep/model_trainer.h"

namespace softstep {

using namespace state_text;

namespace {

constexpr const char* format = "softstep-model-state-1";
const std::string master_prefix = "master.", rule_prefix = "rule_state.";

std::string rules_text(const ModelTrainerOptions& options) {
  std::string text;
  for (const RuleSettings& rule : options.rules) text += (text.empty() ? "" : ";") + canonical(rule);
  return text;
}

std::string batches_text(const ModelTrainerOptions& options) {
  return options.batch_size == 0
             ? "all"
             : std::to_string(options.batch_size) + " from seed " + std::to_string(options.batch_seed);
}

template <class T>
constexpr StoredType working = sizeof(T) == 4 ? StoredType::f32 : StoredType::f64;

// The metadata that a state and the run that goes on from it must share.
std::vector<std::pair<std::string, std::string>> shared_metadata(const ModelTrainerOptions& options) {
  return {{"format", format},
          {"rules", rules_text(options)},
          {"normalization", to_string(options.normalization)},
          {"batches", batches_text(options)}};
}

}  // namespace

template <class T>
void save_state(const std::string& path, const Model<T>& model, const ModelState<T>& state,
                const ModelTrainerOptions& options) {
  std::vector<NamedTensor> tensors;
  for (std::size_t k = 0; k < state.blocks.size(); ++k) {
    const BlockShape& shape = model.blocks()[k];
    const std::vector<std::size_t> size = {shape.n_rows, shape.n_cols};
    tensors.push_back({shape.name, size, {state.blocks[k].begin(), state.blocks[k].end()}, working<T>});
    if (k < state.masters.size() && !state.masters[k].empty())
      tensors.push_back({master_prefix + shape.name, size, state.masters[k], StoredType::f64});
    for (const auto& [name, values] : state.rule_states[k].values)
      tensors.push_back({rule_prefix + shape.name + "." + name, {values.size()}, values, StoredType::f64});
  }
  auto metadata = shared_metadata(options);
  metadata.emplace_back("step", std::to_string(state.step));
  metadata.emplace_back("seconds", exact(state.seconds));
  save_tensors(path, tensors, metadata);
}

template <class T>
ModelState<T> load_state(const std::string& path, const Model<T>& model, const ModelTrainerOptions& options) {
  std::vector<std::pair<std::string, std::string>> metadata;
  const std::vector<NamedTensor> tensors = load_tensors(path, &metadata);
  for (const auto& [key, wanted] : shared_metadata(options))
    if (const std::string& found = value_of(path, metadata, key); found != wanted)
      throw InvalidArgument(
          path, "was saved with " + key + " " + data::name_text(found) + " and cannot go on with " + wanted);
  ModelState<T> state;
  state.step = parse<std::int64_t>(path, "step", value_of(path, metadata, "step"));
  state.seconds = parse<double>(path, "seconds", value_of(path, metadata, "seconds"));
  for (const BlockShape& shape : model.blocks()) {
    std::vector<T> values;
    std::vector<double> master;
    RuleState rule;
    const std::string rule_name = rule_prefix + shape.name + ".";
    for (const NamedTensor& tensor : tensors) {
      const bool is_block = tensor.name == shape.name, is_master = tensor.name == master_prefix + shape.name;
      if ((is_block || is_master) && tensor.shape != std::vector<std::size_t>{shape.n_rows, shape.n_cols})
        throw InvalidArgument(path, "tensor `" + tensor.name + "` is not [" + std::to_string(shape.n_rows) +
                                        ", " + std::to_string(shape.n_cols) + "]");
      if (is_block && tensor.type != working<T>)
        throw InvalidArgument(path, "was saved in another precision than the run asked for");
      if (is_block) values.assign(tensor.values.begin(), tensor.values.end());
      if (is_master) master = tensor.values;
      if (tensor.name.starts_with(rule_name))
        rule.values[tensor.name.substr(rule_name.size())] = tensor.values;
    }
    if (values.empty()) throw InvalidArgument(path, "has no tensor `" + shape.name + "`");
    state.blocks.push_back(std::move(values));
    state.masters.push_back(std::move(master));
    state.rule_states.push_back(std::move(rule));
  }
  return state;
}

template void save_state(const std::string&, const Model<float>&, const ModelState<float>&,
                         const ModelTrainerOptions&);
template void save_state(const std::string&, const Model<double>&, const ModelState<double>&,
                         const ModelTrainerOptions&);
template ModelState<float> load_state(const std::string&, const Model<float>&, const ModelTrainerOptions&);
template ModelState<double> load_state(const std::string&, const Model<double>&, const ModelTrainerOptions&);

}  // namespace softstep
