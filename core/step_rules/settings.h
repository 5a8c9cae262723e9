#pragma once

// How a rule describes its settings: a struct of plain fields and one table that ties each to its name, its
// prose and its check. Names, defaults and messages on every face of the library come from this table.

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "core/data/quoted.h"
#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/step_rules.h"

namespace softstep::rules {

enum class Range { positive, non_negative, greater_than_one, fraction, positive_whole };

inline bool is_in(Range range, double x) {
  switch (range) {
    case Range::positive:
      return x > 0.0;
    case Range::non_negative:
      return x >= 0.0;
    case Range::greater_than_one:
      return x > 1.0;
    case Range::fraction:
      return x >= 0.0 && x < 1.0;
    case Range::positive_whole:
      return x >= 1.0 && x == std::floor(x);
  }
  return false;
}

inline const char* to_string(Range range) {
  switch (range) {
    case Range::positive:
      return "positive number";
    case Range::non_negative:
      return "non-negative number";
    case Range::greater_than_one:
      return "number greater than 1";
    case Range::fraction:
      return "number from 0 to below 1";
    case Range::positive_whole:
      return "positive whole number";
  }
  return "";
}

template <class Settings>
struct Field {
  const char* name;
  double Settings::*value;
  Range range;
  bool may_be_infinite;
  const char* help;
};

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
      throw InvalidArgument(data::argument_name(name), "rule " + rule + " has no such option (its options: " +
                                                           (known.empty() ? "none" : known) + ")");
    if (!is_in(found->range, value) || (!found->may_be_infinite && !std::isfinite(value)))
      throw InvalidArgument(name, data::number_text(value) + " (rule " + rule + " needs a " +
                                      (found->may_be_infinite ? "" : "finite ") + to_string(found->range) +
                                      ")");
    if constexpr (!std::is_empty_v<Settings>) settings.*(found->value) = value;
  }
  return settings;
}

template <class Settings>
std::vector<RuleOptionInfo> describe(const std::vector<Field<Settings>>& fields) {
  std::vector<RuleOptionInfo> out;
  if constexpr (!std::is_empty_v<Settings>)
    for (const auto& field : fields) out.push_back({field.name, Settings{}.*(field.value), field.help});
  return out;
}

/// The two fields of a rule whose steps are eta_t = eta (t+1)^-a, before those of its own.
template <class Settings>
std::vector<Field<Settings>> schedule_fields(std::vector<Field<Settings>> own = {}) {
  own.insert(own.begin(), {{"step-size", &Settings::step_size, Range::positive, false, "eta"},
                           {"schedule-power", &Settings::schedule_power, Range::non_negative, false, "a"}});
  return own;
}

/// eta_t = eta (t+1)^-a
inline double scheduled(double step_size, double power, std::int64_t iteration) {
  return power == 0.0 ? step_size : step_size * std::pow(static_cast<double>(iteration) + 1.0, -power);
}

}  // namespace softstep::rules
