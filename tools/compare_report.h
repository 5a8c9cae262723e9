#pragma once

#include <string>

#include "compare_runs.h"

namespace softstep::program {

/// Everything about a comparison: settings, references, and every run's final values and their medians.
Json compare_summary(const CompareSettings& settings, const CompareResult& result);

/// The table for the terminal: medians over the seeds.
std::string compare_table(const CompareSettings& settings, const CompareResult& result);

/// Columns rule, seed and the trace's own, a row for each traced step of each run.
std::string compare_trace(const CompareSettings& settings, const CompareResult& result);

}  // namespace softstep::program
