#pragma once

// The directions that `train` compares with.

#include "model_options.h"
#include "train_options.h"

namespace softstep::program {

/// What --reference asks for. With W trained alone `json` is about the one direction, null for none; else it
/// has an entry for each. Throws InvalidArgument.
template <class T>
ModelReferences find_references(const TrainOptions& options, const BatchView<T>& batch, int n_threads);
/// Of points of several classes; only if it is asked for, as the time grows with the square of the
/// constraints.
ModelReferences find_class_references(const TrainOptions& options, const MulticlassData& data, int n_threads);

}  // namespace softstep::program
