// Any text as the rules of a run: refused in one line, or each rule has a text that reads back as itself, and
// makes no NaN of finite numbers.

#include <cmath>
#include <string>

#include "memory_file.h"
#include "softstep/error.h"
#include "softstep/step_rules.h"

using namespace softstep;
using fuzz::require;

namespace {

template <class T>
void take_steps(const RuleSettings& settings) {
  const auto rule = make_step_rule<T>(settings);
  const std::string text = rule->settings_text();
  require(make_step_rule<T>(parse_rule(text))->settings_text() == text);
  RuleState state;
  const T gradient[4] = {T(0.5), T(-2), T(0), T(1)}, weights[4] = {T(1), T(0), T(-1), T(3)};
  for (std::int64_t k = 0; k < 3; ++k) {
    StepContext<T> context;
    context.iteration = k;
    context.loss_gap = {1.5, -3.0};
    context.gradient = gradient;
    context.n_rows = context.n_cols = 2;
    context.gradient_exponent = -700.0 * static_cast<double>(k);
    context.gradient_norm = std::sqrt(5.25);
    context.weights = weights;
    const Step<T> step = rule->step(context, state);
    if (step.outcome != Step<T>::Outcome::moved) continue;
    require(!std::isnan(step.length) && (step.replaces || !std::isnan(step.coefficient)));
    for (std::size_t j = 0; step.computed != nullptr && j < 4; ++j) require(!std::isnan(step.computed[j]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 1 << 12) return 0;
  try {
    for (const RuleSettings& settings : parse_rules({reinterpret_cast<const char*>(bytes), size})) {
      take_steps<double>(settings);
      take_steps<float>(settings);
    }
  } catch (const InvalidArgument& error) {
    require(fuzz::is_one_line(error.what()));
  }
  return 0;
}
