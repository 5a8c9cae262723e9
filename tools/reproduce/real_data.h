#pragma once

#include <string>

namespace softstep::program::reproduce {

/// Reads train.safetensors and test.safetensors of a folder, so that what is wrong with them shows before
/// anything runs. Throws BadFile, InvalidArgument, IoError.
void check_real_data(const std::string& folder);

}  // namespace softstep::program::reproduce
