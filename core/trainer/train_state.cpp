#include "softstep/train_state.h"

#include <cmath>
#include <string>

#include "core/data/text.h"
#include "softstep/error.h"

namespace softstep {

template <NumberType T>
std::vector<double> TrainState<T>::values(std::size_t k) const {
  if (k >= blocks.size())
    throw InvalidArgument(
        "k", std::to_string(k) + " (the state has " + std::to_string(blocks.size()) + " blocks)");
  if (k < masters.size() && !masters[k].empty()) return masters[k];
  return {blocks[k].begin(), blocks[k].end()};
}

template <NumberType T>
bool TrainState<T>::has_masters() const {
  for (const std::vector<double>& master : masters)
    if (!master.empty()) return true;
  return false;
}

template <NumberType T>
TrainState<T> initial_state(const Model<T>& model, const std::vector<std::vector<double>>& blocks,
                            MasterWeights master) {
  const std::vector<BlockShape>& shapes = model.blocks();
  if (!blocks.empty() && blocks.size() != shapes.size())
    throw InvalidArgument("blocks", std::to_string(blocks.size()) + " (need " +
                                        std::to_string(shapes.size()) + ", or none for zeros)");
  const bool in_double = master == MasterWeights::float64 && sizeof(T) < sizeof(double);
  TrainState<T> state;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const std::vector<double> zeros(blocks.empty() ? shapes[k].size() : 0, 0.0);
    const std::vector<double>& start = blocks.empty() ? zeros : blocks[k];
    if (start.size() != shapes[k].size())
      throw InvalidArgument(shapes[k].name, std::to_string(start.size()) + " entries (need " +
                                                std::to_string(shapes[k].size()) + ")");
    std::vector<T> values;
    values.reserve(start.size());
    for (const double x : start) {
      values.push_back(static_cast<T>(x));
      if (!std::isfinite(values.back()))
        throw InvalidArgument(shapes[k].name,
                              "entry " + std::to_string(values.size() - 1) + " is not finite");
    }
    state.blocks.push_back(std::move(values));
    state.masters.push_back(in_double ? start : std::vector<double>());
  }
  state.rule_states.resize(shapes.size());
  state.remainders.resize(shapes.size());
  return state;
}

template <NumberType T>
TrainState<T> normal_state(const Model<T>& model, double std, std::uint64_t seed, MasterWeights master) {
  if (!(std >= 0.0) || !std::isfinite(std))
    throw InvalidArgument("std", data::number_text(std) + " (need 0 or a positive number)");
  if (std == 0.0) return initial_state(model, {}, master);
  std::vector<std::vector<double>> blocks;
  for (std::size_t k = 0; k < model.blocks().size(); ++k)
    blocks.push_back(normal_values(model.blocks()[k].size(), std, seed + k));
  return initial_state(model, blocks, master);
}

template <NumberType T>
std::vector<double> observe(const Model<T>& model, const TrainState<T>& state, std::size_t k) {
  std::vector<std::vector<double>> values;
  for (std::size_t b = 0; b < state.blocks.size(); ++b) values.push_back(state.values(b));
  return model.observe(Point<double>(views_of(values)), k);
}

template struct TrainState<float>;
template struct TrainState<double>;
template TrainState<float> initial_state(const Model<float>&, const std::vector<std::vector<double>>&,
                                         MasterWeights);
template TrainState<double> initial_state(const Model<double>&, const std::vector<std::vector<double>>&,
                                          MasterWeights);
template TrainState<float> normal_state(const Model<float>&, double, std::uint64_t, MasterWeights);
template TrainState<double> normal_state(const Model<double>&, double, std::uint64_t, MasterWeights);
template std::vector<double> observe(const Model<float>&, const TrainState<float>&, std::size_t);
template std::vector<double> observe(const Model<double>&, const TrainState<double>&, std::size_t);

}  // namespace softstep
