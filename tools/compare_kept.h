#pragma once

// A run of `compare` and `sweep` as KeptRuns keeps it.

#include "compare_runs.h"

namespace softstep::program {

/// Everything of a finished run but its weights, which nobody asks for.
Json kept_json(const CompareRun& run);
/// The same run, to the bit. Throws Json::exception where something is missing or of another kind.
CompareRun compare_run_of(const Json& kept);

}  // namespace softstep::program
