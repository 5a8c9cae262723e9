#pragma once

#include <string>

namespace softstep::program {

/// The contents of an SVG file as an element of an HTML page, read by assistive technology as one picture called `label`.
///
/// Every id, and every reference to one, gets `prefix`, so that files of one program (matplotlib names its clip paths and glyphs
/// alike in each) can stand in one page; style sheets reach no further than their own picture. The size is left to the
/// page. What only describes the file (metadata, namespaces) is left out. Throws InvalidArgument naming the file for what
/// is damaged and for what a page that needs nothing else cannot hold: scripts, links, anything to be loaded.
std::string inline_svg(const std::string& bytes, const std::string& file, const std::string& prefix,
                       const std::string& label);

}  // namespace softstep::program
