#pragma once

// What holds for every page that `report` writes.

#include <string>
#include <vector>

#include "tools/run_program.h"

namespace softstep::test {

/// Nothing fetched from anywhere, no script, every id once, every reference inside the page leads somewhere.
void require_self_contained(const std::string& page);

/// How often a text is in another.
std::size_t occurrences(const std::string& text, const std::string& part);

/// A small picture in the manner of matplotlib: prolog, document type, metadata, a style for everything, and
/// the same ids in every file.
std::string small_svg();

/// The files of the pictures in a page, byte for byte.
std::vector<std::string> pictures_in(const std::string& page);

/// A folder of `reproduce`, below the workplace: two laws (the second one as told), a table, two figures.
Json verdict(const std::string& name, bool passed = true);
void write_entry(const Workplace& place, const std::string& directory, const Json& verdict);

}  // namespace softstep::test
