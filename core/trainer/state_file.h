#pragma once

#include <string>
#include <utility>
#include <vector>

#include "softstep/dataset.h"
#include "softstep/model.h"

namespace softstep {

struct TrainerOptions;
template <NumberType T>
struct TrainState;

/// Throws BadFile unless the file is a state, of whatever run, that holds what was written.
void require_whole_state(const std::string& path);

/// What stands as `checksum` in the metadata of a state with these tensors and this metadata beside.
std::string state_checksum(const std::vector<NamedTensor>& tensors,
                           const std::vector<std::pair<std::string, std::string>>& metadata);

/// What is written of a state.
template <NumberType T>
std::vector<NamedTensor> state_tensors(const Model<T>& model, const TrainState<T>& state);

/// Metadata that a state and the run that goes on from it must share.
template <NumberType T>
std::vector<std::pair<std::string, std::string>> state_metadata(const Model<T>& model,
                                                                const TrainerOptions& options);

}  // namespace softstep
