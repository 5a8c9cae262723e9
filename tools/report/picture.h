#pragma once

#include <string>

namespace softstep::program {

/// An SVG file as an <img> element whose source is a data URI. `label` says in words what is to be seen.
///
/// A browser shows an SVG picture in an <img> without running its scripts and without fetching anything it
/// refers to. So the file need not be looked through, and its ids and styles cannot meet those of the page or
/// of another picture. Throws InvalidArgument naming the file if it is no SVG file or is cut off.
std::string picture_html(const std::string& bytes, const std::string& file, const std::string& label);

}  // namespace softstep::program
