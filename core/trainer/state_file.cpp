// Training states as safetensors files: tensors `weights` [d, d], `master_weights` [d, d] where kept, `span.base`,
// `span.coefficients` and `span.projected` after a span form, one `rule_state.<name>` per remembered vector, and
// metadata `format`, `rule`, `form`, `step`, `seconds`.

#include "core/trainer/state_text.h"
#include "softstep/dataset.h"
#include "softstep/trainer.h"

namespace softstep {

using namespace state_text;

namespace {

constexpr const char* format = "softstep-state-2";
const std::string rule_prefix = "rule_state.", span_prefix = "span.";

}  // namespace

template <class T>
void save_state(const std::string& path, const TrainState<T>& state, const RuleSettings& rule) {
  std::size_t dim = 0;
  while (dim * dim < state.weights.size()) ++dim;
  std::vector<NamedTensor> tensors;
  tensors.push_back({"weights",
                     {dim, dim},
                     std::vector<double>(state.weights.begin(), state.weights.end()),
                     sizeof(T) == 4 ? StoredType::f32 : StoredType::f64});
  if (!state.master_weights.empty())
    tensors.push_back({"master_weights", {dim, dim}, state.master_weights, StoredType::f64});
  const StoredType working = sizeof(T) == 4 ? StoredType::f32 : StoredType::f64;
  for (const auto& [name, values] :
       {std::pair{"base", &state.span.base}, std::pair{"coefficients", &state.span.coefficients},
        std::pair{"projected", &state.span.projected}})
    if (!values->empty())
      tensors.push_back({span_prefix + name,
                         {values->size()},
                         std::vector<double>(values->begin(), values->end()),
                         working});
  for (const auto& [name, values] : state.rule_state.values)
    tensors.push_back({rule_prefix + name, {values.size()}, values, StoredType::f64});
  save_tensors(path, tensors,
               {{"format", format},
                {"rule", canonical(rule)},
                {"form", to_string(state.span.form)},
                {"step", std::to_string(state.step)},
                {"seconds", exact(state.seconds)}});
}

template <class T>
TrainState<T> load_state(const std::string& path, std::size_t dim, const RuleSettings& rule) {
  std::vector<std::pair<std::string, std::string>> metadata;
  const std::vector<NamedTensor> tensors = load_tensors(path, &metadata);
  const auto meta = [&](const std::string& key) -> const std::string& {
    return value_of(path, metadata, key);
  };
  if (meta("format") != format)
    throw InvalidArgument(path,
                          "has state format " + data::name_text(meta("format")) + " (need " + format + ")");
  if (meta("rule") != canonical(rule))
    throw InvalidArgument(path, "was saved by rule " + data::name_text(meta("rule")) +
                                    " and cannot go on with " + canonical(rule));
  TrainState<T> state;
  state.step = parse<std::int64_t>(path, "step", meta("step"));
  state.seconds = parse<double>(path, "seconds", meta("seconds"));
  for (const NamedTensor& tensor : tensors) {
    const bool is_weights = tensor.name == "weights", is_master = tensor.name == "master_weights";
    if ((is_weights || is_master) && tensor.shape != std::vector<std::size_t>{dim, dim})
      throw InvalidArgument(path, "tensor `" + tensor.name + "` is not [" + std::to_string(dim) + ", " +
                                      std::to_string(dim) + "]");
    if (is_weights) {
      if (tensor.type != (sizeof(T) == 4 ? StoredType::f32 : StoredType::f64))
        throw InvalidArgument(path, "was saved in another precision than the run asked for");
      state.weights.assign(tensor.values.begin(), tensor.values.end());
    } else if (is_master) {
      state.master_weights = tensor.values;
    } else if (tensor.name == span_prefix + "base") {
      state.span.base.assign(tensor.values.begin(), tensor.values.end());
    } else if (tensor.name == span_prefix + "coefficients") {
      state.span.coefficients.assign(tensor.values.begin(), tensor.values.end());
    } else if (tensor.name == span_prefix + "projected") {
      state.span.projected.assign(tensor.values.begin(), tensor.values.end());
    } else if (tensor.name.starts_with(rule_prefix)) {
      state.rule_state.values[tensor.name.substr(rule_prefix.size())] = tensor.values;
    }
  }
  state.span.form = parse_form(meta("form"));
  if (!state.span.base.empty() && state.span.base.size() != dim * dim)
    throw InvalidArgument(path, "tensor `span.base` has " + std::to_string(state.span.base.size()) +
                                    " entries (need " + std::to_string(dim * dim) + ")");
  if (state.weights.empty()) throw InvalidArgument(path, "has no tensor `weights`");
  return state;
}

template void save_state(const std::string&, const TrainState<float>&, const RuleSettings&);
template void save_state(const std::string&, const TrainState<double>&, const RuleSettings&);
template TrainState<float> load_state<float>(const std::string&, std::size_t, const RuleSettings&);
template TrainState<double> load_state<double>(const std::string&, std::size_t, const RuleSettings&);

}  // namespace softstep
