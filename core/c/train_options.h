#pragma once

// What single runs and many runs share.

#include "core/c/guarded.h"
#include "softstep/trainer.h"

namespace softstep::c {

/// The options of a run of models in T. Throws InvalidArgument naming the field.
template <class T>
TrainerOptions train_options_of(const softstep_train_options* given);

/// Has `options`, those of a run of this model, write the checkpoints that the caller's ask for. All three
/// must live as long as the run.
template <class T>
void write_checkpoints(const softstep_train_options* given, const Model<T>& model, const TrainState<T>& state,
                       TrainerOptions& options);

softstep_train_summary summary_of(const TrainSummary& found);

}  // namespace softstep::c
