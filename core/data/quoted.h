#pragma once

// What a user wrote, within one line of a message.

#include <string>
#include <string_view>

#include "core/data/text.h"

namespace softstep::data {

/// In quotation marks; control characters become ?, and long text is cut, as name_text has it.
inline std::string quoted(std::string_view text) {
  std::string shown = name_text(text);
  shown.front() = shown.back() = '"';
  return shown;
}

/// Without them: as the name of an argument.
inline std::string argument_name(std::string_view text) {
  const std::string shown = name_text(text);
  return shown.substr(1, shown.size() - 2);
}

}  // namespace softstep::data
