#pragma once

#include <string>
#include <vector>

#include "softstep/dataset.h"
#include "softstep/export.h"

namespace softstep {

/// Reads every tensor of a file whose type is a floating-point or an integer one, in the order of their
/// names; `type` of integers is f64. Tensors of other types (BOOL, F8) are left out. Throws BadFile, also for
/// an integer that a double does not hold, or IoError.
SOFTSTEP_EXPORT std::vector<NamedTensor> load_number_tensors(const std::string& path);

}  // namespace softstep
