#pragma once

#include <string>

#include "entry.h"

namespace softstep::program::reproduce {

/// The verdict as it is written to verdict.json; docs/command-line.md has the keys.
Json verdict_json(const Entry& entry, const Result& result, double seconds, int n_threads);

/// Writes verdict.json, the data files, figures.json and, if wanted, the pictures into a directory that is
/// there. Returns what kept it from drawing, or nothing.
std::string write_result(const std::string& directory, const Entry& entry, const Result& result,
                         const Json& verdict, bool plots);

/// The checks and tables for people.
std::string result_text(const Entry& entry, const Result& result, double seconds, bool broken);

}  // namespace softstep::program::reproduce
