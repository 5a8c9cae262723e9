#pragma once

// How settings and numbers stand in the metadata of a saved state.

#include <string>

#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/step_rules.h"

namespace softstep::state_text {

inline std::string exact(double x) { return data::exact_text(x); }

// The rule with every option written out, so that equal settings have equal text.
inline std::string canonical(const RuleSettings& settings) {
  std::string text = settings.rule;
  char separator = ':';
  for (const RuleInfo& rule : step_rules()) {
    if (rule.name != settings.rule) continue;
    for (const RuleOptionInfo& option : rule.options) {
      const auto given = settings.options.find(option.name);
      text += separator + option.name + "=" +
              exact(given == settings.options.end() ? option.default_value : given->second);
      separator = ',';
    }
  }
  return text;
}

template <class Number>
Number parse(const std::string& path, const std::string& key, const std::string& text) {
  Number value{};
  if (!data::read_number(text, value) || !(value >= Number{}))
    throw InvalidArgument(
        path, "metadata `" + key + "` is " + data::name_text(text) + " (need a non-negative number)");
  return value;
}

/// The value of a key. Throws InvalidArgument.
inline const std::string& value_of(const std::string& path,
                                   const std::vector<std::pair<std::string, std::string>>& metadata,
                                   const std::string& key) {
  for (const auto& [name, value] : metadata)
    if (name == key) return value;
  throw InvalidArgument(path, "is not a saved training state (no metadata `" + key + "`)");
}

}  // namespace softstep::state_text
