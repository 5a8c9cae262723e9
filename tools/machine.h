#pragma once

#include <string>

namespace softstep::program {

/// Name and version of the compiler that this program was built with.
std::string compiler();

}  // namespace softstep::program
