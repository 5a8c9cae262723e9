#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"
#include "softstep/trainer.h"

namespace softstep {

/// What the gradient of a model with several blocks is normalised by.
enum class Normalization {
  separate,  ///< each block by its own gradient: every block has its rule to itself
  joint      ///< all blocks by the norm of the whole gradient; for rules that move along the gradient
};
SOFTSTEP_EXPORT const char* to_string(Normalization normalization);
SOFTSTEP_EXPORT Normalization parse_normalization(const std::string& name);  ///< throws InvalidArgument

struct ModelTrainerOptions : RunOptions {
  /// One rule for all blocks, or one for each in the model's order.
  std::vector<RuleSettings> rules = {RuleSettings{}};
  Normalization normalization = Normalization::separate;
  /// Samples a step sees; 0: all. Every epoch goes once through all samples in an order of its own, drawn from batch_seed and the
  /// number of the epoch alone (a resumed run sees the same); its last batch is smaller where the size does not divide n.
  std::size_t batch_size = 0;
  std::uint64_t batch_seed = 0;
  /// Directions to compare with, in the order of Model::observables(); an empty one, or none, is not compared.
  std::vector<std::vector<double>> references;
};

/// A run that can be put down and taken up: continuing gives the same bits as never having stopped.
template <class T>
struct SOFTSTEP_EXPORT ModelState {
  std::vector<std::vector<T>> blocks;        ///< in the model's order
  std::vector<std::vector<double>> masters;  ///< the same in double, with MasterWeights::float64; else empty
  std::vector<RuleState> rule_states;        ///< one per block
  std::int64_t step = 0;
  double seconds = 0.0;
  /// Block k in double.
  std::vector<double> values(std::size_t k) const;
};

/// A state at step 0 with these blocks. Throws InvalidArgument naming a block of another size, or that is not finite in T.
template <class T>
SOFTSTEP_EXPORT ModelState<T> initial_state(const Model<T>& model,
                                            const std::vector<std::vector<double>>& blocks,
                                            MasterWeights master = MasterWeights::working);
/// The same with all blocks zero, or N(0, std^2) from the documented random stream: block k from seed + k.
template <class T>
SOFTSTEP_EXPORT ModelState<T> normal_state(const Model<T>& model, double std, std::uint64_t seed,
                                           MasterWeights master = MasterWeights::working);

/// Observable k of a model (Model::observables) at a state.
template <class T>
SOFTSTEP_EXPORT std::vector<double> observe(const Model<T>& model, const ModelState<T>& state, std::size_t k);

/// Runs the rules from `state` for options.n_steps steps. Throws InvalidArgument for bad options (a rule that does not go with
/// joint normalisation, a batch larger than n, a reference of the wrong size); every other ending has a name in the summary.
/// With batches smaller than n, an exactly zero gradient or a gap that is not positive on one batch is a step of length zero, not
/// an end.
template <class T>
SOFTSTEP_EXPORT TrainSummary train(Model<T>& model, ModelState<T>& state, const ModelTrainerOptions& options);

/// Writes a state to / reads it from a safetensors file. Loading checks blocks, rules and batches. Throws InvalidArgument.
template <class T>
SOFTSTEP_EXPORT void save_state(const std::string& path, const Model<T>& model, const ModelState<T>& state,
                                const ModelTrainerOptions& options);
template <class T>
SOFTSTEP_EXPORT ModelState<T> load_state(const std::string& path, const Model<T>& model,
                                         const ModelTrainerOptions& options);

}  // namespace softstep
