#pragma once

#include <string>

#include "output.h"

namespace softstep::program::reproduce {

/// Reads train.safetensors and test.safetensors of a folder, so that what is wrong with them shows before
/// anything runs. Throws BadFile, InvalidArgument, IoError.
void check_real_data(const std::string& folder);
/// What tells these files from others. Throws what check_real_data throws.
Json real_data_identity(const std::string& folder);

}  // namespace softstep::program::reproduce
