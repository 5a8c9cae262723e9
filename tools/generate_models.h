#pragma once

// Small data files for `train --model-kind NAME`, to try a model with.

#include <cstdint>
#include <string>
#include <vector>

#include "softstep/dataset.h"

namespace softstep::program {

struct ModelDataSizes {
  std::size_t n_samples = 0, n_tokens = 0, dim = 0;
};

/// Which of --samples, --tokens and --dim the data of this kind have.
std::vector<std::string> sizes_of_model_data(const std::string& kind);

/// The tensors of the file, whole numbers as F64 and others as `type`. The same seed gives the same numbers.
/// Throws InvalidArgument naming the option.
std::vector<NamedTensor> model_data(const std::string& kind, const ModelDataSizes& sizes, std::uint64_t seed,
                                    StoredType type);

}  // namespace softstep::program
