#pragma once

// softstep.Checkpoints: states of a run in a folder, softstep/checkpoints.h.

#include <string>

#include "model.h"
#include "softstep/checkpoints.h"
#include "training.h"

namespace softstep::python {

/// Has `asked`, the options of a run of this model, write its checkpoints. A disk that fails is a
/// RuntimeWarning, and the run goes on.
template <NumberType T>
void write_checkpoints(const Checkpoints& into, const ModelOf<T>& model, const TrainState<T>& state,
                       TrainerOptions& asked);

}  // namespace softstep::python
