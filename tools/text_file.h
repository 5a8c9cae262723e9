#pragma once

#include <optional>
#include <string>

namespace softstep::program {

/// What a file holds; none, with errno, where it cannot be read to its end.
std::optional<std::string> text_of_file(const std::string& path);

}  // namespace softstep::program
