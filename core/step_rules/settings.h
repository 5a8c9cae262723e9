#pragma once

// How a rule describes its settings: a struct of plain fields and one table that ties each to its name, its
// prose and its check. Names, defaults and messages on every face of the library come from this table.

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "softstep/error.h"
#include "softstep/step_rules.h"

namespace softstep::rules {

enum class Range { positive, non_negative };

template <class Settings>
struct Field {
  const char* name;
  double Settings::*value;
  Range range;
  bool may_be_infinite;
  const char* help;
};

inline std::string number_text(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

/// Fills the settings from options by name. Throws InvalidArgument naming the option and its value.
template <class Settings>
Settings read_settings(const std::string& rule, const std::vector<Field<Settings>>& fields,
                       const std::map<std::string, double>& options) {
  Settings settings;
  for (const auto& [name, value] : options) {
    const Field<Settings>* found = nullptr;
    std::string known;
    for (const auto& field : fields) {
      if (name == field.name) found = &field;
      known += (known.empty() ? "" : ", ") + std::string(field.name);
    }
    if (found == nullptr)
      throw InvalidArgument(name, "rule " + rule + " has no such option (its options: " + known + ")");
    const bool in_range = found->range == Range::positive ? value > 0.0 : value >= 0.0;
    if (!in_range || (!found->may_be_infinite && !std::isfinite(value)))
      throw InvalidArgument(name, number_text(value) + " (rule " + rule + " needs a " +
                                      (found->may_be_infinite ? "" : "finite ") +
                                      (found->range == Range::positive ? "positive" : "non-negative") +
                                      " number)");
    settings.*(found->value) = value;
  }
  return settings;
}

template <class Settings>
std::vector<RuleOptionInfo> describe(const std::vector<Field<Settings>>& fields) {
  std::vector<RuleOptionInfo> out;
  for (const auto& field : fields) out.push_back({field.name, Settings{}.*(field.value), field.help});
  return out;
}

}  // namespace softstep::rules
