#include "softstep/step_rules.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "core/data/quoted.h"
#include "core/data/text.h"
#include "core/step_rules/all_rules.h"
#include "core/step_rules/settings.h"

namespace softstep {
namespace {

// A rule as StepRule<T>: what every rule shares is said once, here.
template <class T, class Rule>
class RuleOf final : public StepRule<T> {
 public:
  RuleOf(const char* name, const typename Rule::Settings& settings) : name_(name), settings_(settings) {}
  std::string_view name() const override { return name_; }
  bool needs_loss_gap() const override { return Rule::needs_loss_gap; }
  bool moves_along_gradient() const override { return Rule::moves_along_gradient; }
  std::string settings_text() const override {
    std::string text = name_;
    char separator = ':';
    for (const auto& field : Rule::fields()) {
      double value = 0.0;
      if constexpr (!std::is_empty_v<typename Rule::Settings>) value = settings_.*(field.value);
      text += separator + (field.name + ("=" + data::exact_text(value)));
      separator = ',';
    }
    return text;
  }
  std::vector<RuleMemory> memory() const override {
    if constexpr (requires { Rule::memory(); })
      return Rule::memory();
    else
      return {};
  }
  Step<T> propose(const StepContext<T>& context, const RuleState& memory, RuleState& next) const override {
    // At an exact zero gradient every rule stays: 0/0 := 0.
    if (context.gradient_norm == 0.0) return {Step<T>::Outcome::stationary, 0.0, context.gradient, 0.0};
    // A gap that is no number makes a step that is none, which the trainer refuses: a comparison or a minimum
    // would pass it over.
    if (Rule::needs_loss_gap && !std::isfinite(context.loss_gap.mantissa)) {
      constexpr double nan = std::numeric_limits<double>::quiet_NaN();
      return {Step<T>::Outcome::moved, nan, context.gradient, nan};
    }
    return Rule::template propose<T>(settings_, context, memory, next);
  }

 private:
  const char* name_;
  typename Rule::Settings settings_;
};

// The note of a rule that has one.
template <class Rule>
const char* note_of() {
  if constexpr (requires { Rule::note; })
    return Rule::note;
  else
    return "";
}

std::string known_rules() {
  std::string names;
  for (const RuleInfo& rule : step_rules()) names += (names.empty() ? "" : ", ") + rule.name;
  return names;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

double parse_number(const std::string& name, const std::string& text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec == std::errc::result_out_of_range && result.ptr == end)
    throw InvalidArgument(data::argument_name(name),
                          data::quoted(text) + " is too large or too small for a double");
  if (text.empty() || result.ec != std::errc() || result.ptr != end)
    throw InvalidArgument(data::argument_name(name), data::quoted(text) + " is not a number");
  return value;
}

// Checks names and values whatever T is.
void check_settings(const RuleSettings& settings) {
#define SOFTSTEP_RULE(name, Rule)                                         \
  if (settings.rule == #name) {                                           \
    rules::read_settings(#name, rules::Rule::fields(), settings.options); \
    return;                                                               \
  }
#include "core/step_rules/rules.def"
#undef SOFTSTEP_RULE
  throw InvalidArgument("rule", data::quoted(settings.rule) + " is not known (known: " + known_rules() + ")");
}

}  // namespace

const std::vector<RuleInfo>& step_rules() {
  static const std::vector<RuleInfo> table = {
#define SOFTSTEP_RULE(name, Rule)                                                            \
  {#name, rules::Rule::formula, rules::Rule::source, rules::describe(rules::Rule::fields()), \
   note_of<rules::Rule>()},
#include "core/step_rules/rules.def"
#undef SOFTSTEP_RULE
  };
  return table;
}

RuleSettings parse_rule(const std::string& text) {
  const std::size_t colon = text.find(':');
  RuleSettings settings;
  settings.rule = trimmed(text.substr(0, colon));
  settings.options.clear();
  if (colon != std::string::npos && !trimmed(text.substr(colon + 1)).empty()) {
    for (const std::string& part : split(text.substr(colon + 1), ',')) {
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos)
        throw InvalidArgument(
            "rule", data::quoted(part) + " in " + data::quoted(text) + " is not of the form option=value");
      const std::string name = trimmed(part.substr(0, equals));
      if (!settings.options.emplace(name, parse_number(name, trimmed(part.substr(equals + 1)))).second)
        throw InvalidArgument(data::argument_name(name), "given twice in " + data::quoted(text));
    }
  }
  check_settings(settings);
  return settings;
}

std::vector<RuleSettings> parse_rules(const std::string& text) {
  std::vector<RuleSettings> out;
  for (const std::string& part : split(text, ';'))
    if (!part.empty()) out.push_back(parse_rule(part));
  if (out.empty())
    throw InvalidArgument("rules", data::quoted(text) + " names no rule (known: " + known_rules() + ")");
  return out;
}

template <NumberType T>
std::shared_ptr<const StepRule<T>> make_step_rule(const RuleSettings& settings) {
  if (settings.object != nullptr) {
    if (auto own = std::dynamic_pointer_cast<const StepRule<T>>(settings.object)) return own;
    throw InvalidArgument("rules", "rule " + std::string(settings.object->name()) +
                                       " is not one for this precision (need a StepRule<" +
                                       (sizeof(T) == 4 ? "float" : "double") + ">)");
  }
  check_settings(settings);
#define SOFTSTEP_RULE(name, Rule)                    \
  if (settings.rule == #name)                        \
    return std::make_shared<RuleOf<T, rules::Rule>>( \
        #name, rules::read_settings(#name, rules::Rule::fields(), settings.options));
#include "core/step_rules/rules.def"
#undef SOFTSTEP_RULE
  return nullptr;  // not reached: check_settings has thrown
}

template std::shared_ptr<const StepRule<float>> make_step_rule<float>(const RuleSettings&);
template std::shared_ptr<const StepRule<double>> make_step_rule<double>(const RuleSettings&);

}  // namespace softstep
