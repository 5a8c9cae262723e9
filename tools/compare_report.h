#pragma once

#include <string>

#include "compare_runs.h"

namespace softstep::program {

/// Everything about a comparison: settings, references, and every run's final values and their medians.
Json compare_summary(const CompareSettings& settings, const CompareResult& result);

/// The table for the terminal: medians over the seeds.
std::string compare_table(const CompareSettings& settings, const CompareResult& result);

/// Median over the seeds of the seconds (or steps) until 1 - cos fell to the level. Infinity: in most seeds
/// it never did. NaN: there was no direction.
double median_seconds_to(const CompareResult& result, std::size_t rule, double threshold);
double median_steps_to(const CompareResult& result, std::size_t rule, double threshold);

/// A field of a CSV row, in quotes where it must be (RFC 4180).
std::string csv_field(const std::string& text);

/// Columns rule, seed and the trace's own, a row for each traced step of each run.
std::string compare_trace(const CompareSettings& settings, const CompareResult& result);

/// For `sweep`: the final values of every run, one row each.
std::string sweep_rows(const CompareSettings& settings, const CompareResult& result);
/// For each rule the step size that reaches the smallest level, reached in most seeds by any of its sizes, in
/// the fewest steps.
Json sweep_best(const CompareSettings& settings, const CompareResult& result);
std::string sweep_best_text(const Json& best);
/// How many runs a second.
std::string sweep_speed_text(const CompareResult& result);

}  // namespace softstep::program
