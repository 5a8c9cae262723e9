#pragma once

// Words of the library's enumerations that have a to_string alone.

#include <initializer_list>
#include <string>

#include "softstep/error.h"

namespace softstep::python {

/// The one of `all` that is called `name`. Throws InvalidArgument with their names.
template <class Choice>
Choice choice_of(const char* argument, const std::string& name, std::initializer_list<Choice> all) {
  std::string known;
  for (const Choice choice : all) {
    if (name == to_string(choice)) return choice;
    known += (known.empty() ? "" : ", ") + std::string(to_string(choice));
  }
  throw InvalidArgument(argument, name + " (known: " + known + ")");
}

}  // namespace softstep::python
