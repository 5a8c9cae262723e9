#include "softstep/model_trainer.h"

#include <cmath>

#include "core/data/text.h"
#include "core/trainer/model_course.h"

namespace softstep {

const char* to_string(Normalization normalization) {
  return normalization == Normalization::joint ? "joint" : "separate";
}

Normalization parse_normalization(const std::string& name) {
  for (const Normalization normalization : {Normalization::separate, Normalization::joint})
    if (name == to_string(normalization)) return normalization;
  throw InvalidArgument("normalization", "\"" + name + "\" is not known (known: separate, joint)");
}

template <class T>
std::vector<double> ModelState<T>::values(std::size_t k) const {
  if (k < masters.size() && !masters[k].empty()) return masters[k];
  return {blocks[k].begin(), blocks[k].end()};
}

namespace {

template <class T>
void check(const Model<T>& model, const ModelState<T>& state, const ModelTrainerOptions& options) {
  const std::vector<BlockShape>& shapes = model.blocks();
  if (options.rules.size() != 1 && options.rules.size() != shapes.size())
    throw InvalidArgument("rules", std::to_string(options.rules.size()) + " (need one, or one for each of " +
                                       std::to_string(shapes.size()) + " blocks)");
  for (const RuleSettings& settings : options.rules) {
    const auto rule = make_step_rule<T>(settings);
    if (options.normalization == Normalization::joint && !rule->moves_along_gradient())
      throw InvalidArgument("normalization", "joint does not go with rule " + settings.rule +
                                                 ", which does not move along the gradient (separate does)");
  }
  if (options.normalization == Normalization::joint && options.rules.size() != 1)
    throw InvalidArgument("rules",
                          std::to_string(options.rules.size()) + " with joint normalization (need one)");
  if (options.batch_size > model.n_samples())
    throw InvalidArgument("batch_size", std::to_string(options.batch_size) + " (there are " +
                                            std::to_string(model.n_samples()) + " samples)");
  const std::vector<Observable>& observables = model.observables();
  if (options.references.size() > observables.size())
    throw InvalidArgument("references", std::to_string(options.references.size()) + " (the model has " +
                                            std::to_string(observables.size()) + " matrices to compare)");
  for (std::size_t k = 0; k < options.references.size(); ++k) {
    const std::vector<double>& reference = options.references[k];
    const std::size_t size = observables[k].n_rows * observables[k].n_cols;
    if (!reference.empty() && reference.size() != size)
      throw InvalidArgument("references", observables[k].name + " has " + std::to_string(reference.size()) +
                                              " entries (need " + std::to_string(size) + ")");
    check_reference("references", reference);
  }
  options.validate(!options.references.empty() && !options.references[0].empty());
  if (state.blocks.size() != shapes.size() || state.rule_states.size() != shapes.size())
    throw InvalidArgument("state", "has " + std::to_string(state.blocks.size()) + " blocks (need " +
                                       std::to_string(shapes.size()) + ")");
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if (state.blocks[k].size() != shapes[k].size())
      throw InvalidArgument("state", "block " + shapes[k].name + " has " +
                                         std::to_string(state.blocks[k].size()) + " entries (need " +
                                         std::to_string(shapes[k].size()) + ")");
    for (const T w : state.blocks[k])
      if (!std::isfinite(w)) throw InvalidArgument("state", "block " + shapes[k].name + " is not finite");
  }
}

}  // namespace

template <class T>
ModelState<T> initial_state(const Model<T>& model, const std::vector<std::vector<double>>& blocks,
                            MasterWeights master) {
  const std::vector<BlockShape>& shapes = model.blocks();
  if (blocks.size() != shapes.size())
    throw InvalidArgument("blocks",
                          std::to_string(blocks.size()) + " (need " + std::to_string(shapes.size()) + ")");
  ModelState<T> state;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if (blocks[k].size() != shapes[k].size())
      throw InvalidArgument(shapes[k].name, std::to_string(blocks[k].size()) + " entries (need " +
                                                std::to_string(shapes[k].size()) + ")");
    std::vector<T> values;
    for (const double x : blocks[k]) {
      values.push_back(static_cast<T>(x));
      if (!std::isfinite(values.back()))
        throw InvalidArgument(shapes[k].name,
                              "entry " + std::to_string(values.size() - 1) + " is not finite");
    }
    state.blocks.push_back(std::move(values));
    state.masters.push_back(
        master == MasterWeights::float64 && sizeof(T) < sizeof(double) ? blocks[k] : std::vector<double>());
  }
  state.rule_states.resize(shapes.size());
  return state;
}

template <class T>
ModelState<T> normal_state(const Model<T>& model, double std, std::uint64_t seed, MasterWeights master) {
  if (!(std >= 0.0) || !std::isfinite(std))
    throw InvalidArgument("std", data::number_text(std) + " (need 0 or a positive number)");
  std::vector<std::vector<double>> blocks;
  for (std::size_t k = 0; k < model.blocks().size(); ++k)
    blocks.push_back(std == 0.0 ? std::vector<double>(model.blocks()[k].size(), 0.0)
                                : normal_values(model.blocks()[k].size(), std, seed + k));
  return initial_state(model, blocks, master);
}

template <class T>
std::vector<double> observe(const Model<T>& model, const ModelState<T>& state, std::size_t k) {
  std::vector<std::vector<double>> values;
  std::vector<const double*> at;
  for (std::size_t b = 0; b < state.blocks.size(); ++b) values.push_back(state.values(b));
  for (const std::vector<double>& block : values) at.push_back(block.data());
  return model.observe(at, k);
}

template <class T>
TrainSummary train(Model<T>& model, ModelState<T>& state, const ModelTrainerOptions& options) {
  check(model, state, options);
  ModelCourse<T> course(model, state, options);
  TrainSummary summary = run(course, options, state.step, state.seconds);
  summary.form = Form::dense;
  return summary;
}

template struct ModelState<float>;
template struct ModelState<double>;
template ModelState<float> initial_state(const Model<float>&, const std::vector<std::vector<double>>&,
                                         MasterWeights);
template ModelState<double> initial_state(const Model<double>&, const std::vector<std::vector<double>>&,
                                          MasterWeights);
template ModelState<float> normal_state(const Model<float>&, double, std::uint64_t, MasterWeights);
template ModelState<double> normal_state(const Model<double>&, double, std::uint64_t, MasterWeights);
template std::vector<double> observe(const Model<float>&, const ModelState<float>&, std::size_t);
template std::vector<double> observe(const Model<double>&, const ModelState<double>&, std::size_t);
template TrainSummary train(Model<float>&, ModelState<float>&, const ModelTrainerOptions&);
template TrainSummary train(Model<double>&, ModelState<double>&, const ModelTrainerOptions&);

}  // namespace softstep
