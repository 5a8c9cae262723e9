#pragma once

#include <string>

#include "simd/dispatch.h"

namespace softstep {

/// The kernels for a name, "" or "auto" meaning the instruction set in force (softstep/isa.h). Throws
/// InvalidArgument.
const simd::Isa& resolve_isa(const std::string& name);

}  // namespace softstep
