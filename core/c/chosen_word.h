#pragma once

// Words of the caller's as the library's enumerations.

#include <initializer_list>
#include <string>

#include "core/c/guarded.h"
#include "core/data/quoted.h"

namespace softstep::c {

/// The one of `all` with this name, the first of them for null or "". Throws InvalidArgument with their
/// names.
template <class Choice>
Choice chosen_word(const char* given, const char* name, std::initializer_list<Choice> all) {
  const std::string text = word(given);
  if (text.empty()) return *all.begin();
  std::string known;
  for (const Choice choice : all) {
    if (text == to_string(choice)) return choice;
    known += (known.empty() ? "" : ", ") + std::string(to_string(choice));
  }
  throw InvalidArgument(name, data::quoted(text) + " (need one of " + known + ")");
}

}  // namespace softstep::c
