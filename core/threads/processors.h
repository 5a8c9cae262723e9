#pragma once

// How many processors the system lets this process use.

#include <string>

namespace softstep {

/// Processors in the affinity mask of the calling thread; at least 1.
int processors_in_mask();

/// Processors' worth of time that the control groups (v1 or v2) of this process allow it, the least along the
/// way up to the mounted root; infinity without a limit. `root` stands before /proc and /sys, for tests.
double processor_quota(const std::string& root = "");

}  // namespace softstep
