#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "softstep/export.h"
#include "softstep/number_type.h"
#include "softstep/scaled.h"

namespace softstep {

/// What a rule sees of an iteration. The gradient is G' exp(gradient_exponent). A dense run may keep W and G'
/// transposed, both alike; in a span form, and in a dense run that does not form G', the entries are
/// coefficients (only for rules that move along the gradient).
template <NumberType T>
struct StepContext {
  std::int64_t iteration = 0;      ///< t, from 0
  Scaled loss_gap = {};            ///< L - L*; only set if the rule needs it
  const T* gradient = nullptr;     ///< G', n_rows x n_cols row-major, contiguous
  std::size_t n_rows = 0;          ///< of G' and W
  std::size_t n_cols = 0;          ///< of G' and W
  double gradient_exponent = 0.0;  ///< natural logarithm
  double gradient_norm = 0.0;      ///< ||G'||_F
  /// W before the step, laid out as the gradient; null where the entries are coefficients.
  const T* weights = nullptr;
};

/// What a rule asks for: W <- W - coefficient * direction, or another W altogether.
template <NumberType T>
struct Step {
  /// Whether there is a step.
  enum class Outcome {
    moved,            ///< there is one
    stationary,       ///< the gradient is exactly zero: no step
    gap_not_positive  ///< the rule divides by nothing but needs L > L*, and it is not
  };
  Outcome outcome = Outcome::moved;  ///< whether there is a step
  double coefficient = 0.0;      ///< what the direction is multiplied by; of the gradient: of its mantissa
  const T* direction = nullptr;  ///< the gradient's mantissa; not looked at if `computed` is set
  double length = 0.0;           ///< norm of the change of W (Frobenius)
  /// A direction of the rule's own, in double whatever T; a buffer of the rule's state
  /// (RuleState::direction).
  const double* computed = nullptr;
  bool replaces = false;  ///< W <- computed, in place of W - coefficient * computed
};

/// Everything a rule remembers between steps; plain numbers, so that a run can be saved and resumed to the
/// bit. Vectors as long as the weights are matrices laid out like them: in a StepContext as these are there,
/// in a TrainState row-major.
struct RuleState {
  std::map<std::string, std::vector<double>, std::less<>> values = {};  ///< by their names in memory()
  std::vector<double> direction = {};  ///< where a rule builds its step; nothing to remember
};

/// One vector that a rule remembers.
struct RuleMemory {
  std::string name = {};  ///< in RuleState::values
  std::size_t size = 0;   ///< 0: as many numbers as weights
};

/// A step-size rule of either precision: its settings, without any per-run state (one rule may serve many
/// runs at once).
class SOFTSTEP_EXPORT AnyStepRule {
 public:
  virtual ~AnyStepRule() = default;
  /// A word for messages and tables.
  virtual std::string_view name() const = 0;
  /// The rule with all its settings, as a saved state names it: a run resumes under the same text only.
  virtual std::string settings_text() const { return std::string(name()); }
  /// True if StepContext::loss_gap must be set.
  virtual bool needs_loss_gap() const { return false; }
  /// True if the direction of a step is the gradient itself and the rule looks at norms alone: then the
  /// gradient's entries may be those of any of the trainer's forms.
  virtual bool moves_along_gradient() const { return false; }
  /// What RuleState::values holds after a step; a saved state must have all of it.
  virtual std::vector<RuleMemory> memory() const { return {}; }
};

/// A step-size rule. Derive from this class for a rule of your own, and hand it to the trainer as
/// RuleSettings::object.
template <NumberType T>
class SOFTSTEP_EXPORT StepRule : public AnyStepRule {
 public:
  /// Proposes a step, and what the rule remembers if it is taken: all of memory() goes into `next`, which
  /// comes with the names and numbers of some earlier step; `memory` is empty before the first step. The
  /// trainer takes the step, and then `next` becomes the memory, or refuses it, and then nothing has
  /// happened. Never produces NaN from finite input; at an exact zero gradient returns `stationary`.
  virtual Step<T> propose(const StepContext<T>& context, const RuleState& memory, RuleState& next) const = 0;

  /// Proposes a step and remembers it if it moves, for use without the trainer.
  Step<T> step(const StepContext<T>& context, RuleState& state) const {
    RuleState next;
    const Step<T> proposed = propose(context, state, next);
    if (proposed.outcome == Step<T>::Outcome::moved) std::swap(state, next);
    return proposed;
  }
};

/// An option of a rule.
struct RuleOptionInfo {
  std::string name;          ///< as on the command line: "step-size"
  double default_value = 0;  ///< what it is where it is not given
  std::string help;          ///< a line for users
};
/// A rule in the list of all.
struct RuleInfo {
  std::string name;                     ///< as parse_rule reads it
  std::string formula;                  ///< its step in a line
  std::string source;                   ///< the paper that it comes from
  std::vector<RuleOptionInfo> options;  ///< its options
  std::string note;                     ///< what to know before use: "experimental"; mostly empty
};

/// A rule by name with its options by name; what is absent has its default. Or a rule of the caller's own.
struct RuleSettings {
  std::string rule = "ngd";                    ///< name
  std::map<std::string, double> options = {};  ///< by name
  /// In place of name and options: a StepRule<T> of the precision of the run.
  std::shared_ptr<const AnyStepRule> object = nullptr;
};

/// Every rule of rules.def.
SOFTSTEP_EXPORT const std::vector<RuleInfo>& step_rules();

/// Reads "ngd:step-size=1,schedule-power=0.5". Throws InvalidArgument (unknown rule or option: lists the
/// known).
SOFTSTEP_EXPORT RuleSettings parse_rule(const std::string& text);
/// Reads "gd:step-size=20;ngd;polyak".
SOFTSTEP_EXPORT std::vector<RuleSettings> parse_rules(const std::string& text);

/// Checks the settings and makes the rule, or hands out the caller's own. Throws InvalidArgument naming the
/// option and its value, and for an own rule of another precision.
template <NumberType T>
SOFTSTEP_EXPORT std::shared_ptr<const StepRule<T>> make_step_rule(const RuleSettings& settings);

extern template std::shared_ptr<const StepRule<float>> make_step_rule<float>(const RuleSettings&);
extern template std::shared_ptr<const StepRule<double>> make_step_rule<double>(const RuleSettings&);

}  // namespace softstep
