#pragma once

#include <string>
#include <vector>

#include "core/data/files/safetensors.h"
#include "softstep/batch.h"

namespace softstep::data {

/// What the file of a data set has, in the number type wanted; `working` is T. `path` and the view are looked
/// at until it is written.
template <class T>
std::vector<TensorToWrite> dataset_tensors(const std::string& path, const BatchView<T>& view,
                                           StoredType wanted);

}  // namespace softstep::data
