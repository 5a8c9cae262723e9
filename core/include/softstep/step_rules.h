#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "softstep/export.h"
#include "softstep/scaled.h"

namespace softstep {

/// What a rule sees of an iteration. The gradient is G' exp(gradient_exponent). A dense run may keep W and G' transposed, both
/// alike; in a span form, and in a dense run that does not form G', the entries are coefficients (only for rules that
/// move along the gradient).
template <class T>
struct StepContext {
  std::int64_t iteration = 0;   ///< t, from 0
  Scaled loss_gap;              ///< L - L*; only set if the rule needs it
  const T* gradient = nullptr;  ///< G', n_rows x n_cols row-major, contiguous
  std::size_t n_rows = 0, n_cols = 0;
  double gradient_exponent = 0.0;
  double gradient_norm = 0.0;  ///< ||G'||_F
  /// W before the step, laid out as the gradient; null where the entries are coefficients.
  const T* weights = nullptr;
};

/// What a rule asks for: W <- W - coefficient * direction, or another W altogether.
template <class T>
struct Step {
  enum class Outcome {
    moved,
    stationary,       ///< the gradient is exactly zero: no step
    gap_not_positive  ///< the rule divides by nothing but needs L > L*, and it is not
  };
  Outcome outcome = Outcome::moved;
  double coefficient = 0.0;
  const T* direction = nullptr;  ///< the gradient's mantissa; not looked at if `computed` is set
  double length = 0.0;           ///< norm of the change of W (Frobenius)
  /// A direction of the rule's own, in double whatever T; a buffer of the rule's state (RuleState::direction).
  const double* computed = nullptr;
  bool replaces = false;  ///< W <- computed, in place of W - coefficient * computed
};

/// Everything a rule remembers between steps; plain numbers, so that a run can be saved and resumed to the bit. Vectors as long
/// as the weights are matrices laid out like them: in a StepContext as these are there, in a TrainState dim x dim row-major.
struct RuleState {
  std::map<std::string, std::vector<double>> values;
  std::vector<double> direction;  ///< where a rule builds its step; nothing to remember
};

/// A step-size rule: its settings, without any per-run state (one rule may serve many runs at once).
template <class T>
class SOFTSTEP_EXPORT StepRule {
 public:
  virtual ~StepRule() = default;
  virtual std::string_view name() const = 0;
  /// True if StepContext::loss_gap must be set.
  virtual bool needs_loss_gap() const { return false; }
  /// True if the direction of a step is the gradient itself and the rule looks at norms alone: then the gradient's entries
  /// may be those of any of the trainer's forms.
  virtual bool moves_along_gradient() const { return false; }
  /// Never produces NaN from finite input; at an exact zero gradient returns `stationary`.
  virtual Step<T> step(const StepContext<T>& context, RuleState& state) const = 0;
};

struct RuleOptionInfo {
  std::string name;  ///< as on the command line: "step-size"
  double default_value = 0;
  std::string help;
};
struct RuleInfo {
  std::string name;
  std::string formula;
  std::string source;
  std::vector<RuleOptionInfo> options;
  std::string note;  ///< what to know before use: "experimental"; mostly empty
};

/// A rule by name with its options by name; what is absent has its default.
struct RuleSettings {
  std::string rule = "ngd";
  std::map<std::string, double> options;
};

/// Every rule of rules.def.
SOFTSTEP_EXPORT const std::vector<RuleInfo>& step_rules();

/// Reads "ngd:step-size=1,schedule-power=0.5". Throws InvalidArgument (unknown rule or option: lists the
/// known).
SOFTSTEP_EXPORT RuleSettings parse_rule(const std::string& text);
/// Reads "gd:step-size=20;ngd;polyak".
SOFTSTEP_EXPORT std::vector<RuleSettings> parse_rules(const std::string& text);

/// Checks the settings and makes the rule. Throws InvalidArgument naming the option and its value.
template <class T>
SOFTSTEP_EXPORT std::unique_ptr<StepRule<T>> make_step_rule(const RuleSettings& settings);

extern template std::unique_ptr<StepRule<float>> make_step_rule<float>(const RuleSettings&);
extern template std::unique_ptr<StepRule<double>> make_step_rule<double>(const RuleSettings&);

}  // namespace softstep
