#pragma once

#include <string>

namespace softstep::program {

/// Draws the plots of a directory with tools/plot, by the first Python that can import matplotlib: the one
/// named by SOFTSTEP_PYTHON, python3, /usr/bin/python3. Returns an empty string, or one line saying why there
/// are no plots.
std::string draw_plots(const std::string& directory);

}  // namespace softstep::program
