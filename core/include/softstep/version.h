#pragma once

// The one place the version is written; CMake reads it from here.
#define SOFTSTEP_VERSION_MAJOR 0
#define SOFTSTEP_VERSION_MINOR 1
#define SOFTSTEP_VERSION_PATCH 0

namespace softstep {
/// "major.minor.patch"
inline constexpr const char* version = "0.1.0";
}  // namespace softstep
