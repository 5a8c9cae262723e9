#pragma once

#include <string>

namespace softstep {

/// Throws BadFile unless the file is a state, of whatever run, that holds what was written.
void require_whole_state(const std::string& path);

}  // namespace softstep
