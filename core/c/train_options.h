#pragma once

// What single runs and many runs share.

#include "core/c/guarded.h"
#include "softstep/trainer.h"

namespace softstep::c {

/// The options of a run of models in T. Throws InvalidArgument naming the field.
template <class T>
TrainerOptions train_options_of(const softstep_train_options* given);

softstep_train_summary summary_of(const TrainSummary& found);

}  // namespace softstep::c
