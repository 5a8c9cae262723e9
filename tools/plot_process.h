#pragma once

#include <string>
#include <vector>

namespace softstep::program {

/// Draws the plots of a directory with tools/plot, by the first Python that can import matplotlib: the one
/// named by SOFTSTEP_PYTHON, python3, /usr/bin/python3. Returns an empty string, or one line saying why there
/// are no plots.
std::string draw_plots(const std::string& directory);

/// Removes the pictures of these names, which are without an ending, from a directory: what an older run drew
/// must not stand beside new results. Throws IoError.
void remove_pictures(const std::string& directory, const std::vector<std::string>& names);

}  // namespace softstep::program
