#pragma once

// What `train` and `compare` both report of a run.

#include <string>
#include <vector>

#include "output.h"
#include "softstep/max_margin.h"
#include "softstep/trainer.h"

namespace softstep::program {

/// The columns of a trace, comma-separated. docs/command-line.md says what each means.
extern const char* const trace_columns;
/// One row in that order, without a line break. Values that are not finite are nan, inf and -inf.
std::string trace_row(const TraceRecord& record);

/// Adds the keys of a finished run: status, steps, seconds, ..., in the order of docs/command-line.md.
void add_run(Json& json, const TrainSummary& summary, double margin);

/// False for the endings that nobody asks for: not_finite, gap_not_positive.
bool ended_well(TrainStatus status);

/// Steps per second; NaN if none was timed.
double steps_per_second(const TrainSummary& summary);

/// The max-margin solution as the summary and the train report give it.
Json reference_json(const MaxMarginResult& reference);
/// True if the result is a direction to compare with.
bool is_direction(const MaxMarginResult& reference);

}  // namespace softstep::program
