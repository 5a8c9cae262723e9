#pragma once

#include "softstep/trainer.h"

namespace softstep {

/// Throws InvalidArgument for options that do not go with the model, or a state that is not one of it. Also
/// brings what may be left out of a state, memories and masters, to one for each block.
template <class T>
void check_run(const Model<T>& model, TrainState<T>& state, const TrainerOptions& options);

}  // namespace softstep
