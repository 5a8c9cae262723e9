#include "core/trainer/run_checks.h"

#include <cmath>
#include <limits>
#include <string>

#include "softstep/error.h"

namespace softstep {
namespace {

template <class T>
void check_options(const Model<T>& model, const TrainerOptions& options) {
  options.validate();
  const std::vector<BlockShape>& shapes = model.blocks();
  if (options.rules.size() != 1 && options.rules.size() != shapes.size())
    throw InvalidArgument("rules", std::to_string(options.rules.size()) + " (need one, or one for each of " +
                                       std::to_string(shapes.size()) + " blocks)");
  for (const RuleSettings& settings : options.rules) {
    const auto rule = make_step_rule<T>(settings);
    if (options.normalization == Normalization::joint && !rule->moves_along_gradient())
      throw InvalidArgument("normalization", "joint does not go with rule " + std::string(rule->name()) +
                                                 ", which does not move along the gradient (separate does)");
    if (rule->needs_loss_gap() && model.optimal_loss() == -std::numeric_limits<double>::infinity())
      throw InvalidArgument("rules",
                            std::string(rule->name()) +
                                " needs L*, and this loss is unbounded below (gd, ngd, sign and adam "
                                "do without)");
  }
  if (options.batch_size > model.n_samples())
    throw InvalidArgument("batch_size", std::to_string(options.batch_size) + " (there are " +
                                            std::to_string(model.n_samples()) + " samples)");
  const std::vector<Observable> observables = model.observables();
  if (options.references.size() > observables.size())
    throw InvalidArgument("references", std::to_string(options.references.size()) + " (the model has " +
                                            std::to_string(observables.size()) + " matrices to compare)");
  for (std::size_t k = 0; k < options.references.size(); ++k) {
    const std::size_t size = observables[k].n_rows * observables[k].n_cols;
    if (!options.references[k].empty() && options.references[k].size() != size)
      throw InvalidArgument("references", observables[k].name + " has " +
                                              std::to_string(options.references[k].size()) +
                                              " entries (need " + std::to_string(size) + ")");
  }
}

// What is remembered under a rule's names is as long as the rule has it: a run side by side with others puts
// it into a lane without asking again.
template <class T>
void check_memory(const StepRule<T>& rule, const BlockShape& shape, const RuleState& state) {
  for (const RuleMemory& field : rule.memory()) {
    const auto found = state.values.find(field.name);
    const std::size_t size = field.size == 0 ? shape.size() : field.size;
    if (found != state.values.end() && found->second.size() != size)
      throw InvalidArgument("state", field.name + " of the step rule has " +
                                         std::to_string(found->second.size()) + " entries (need " +
                                         std::to_string(size) + ")");
  }
}

// Also brings what may be left out, memories and masters, to one for each block.
template <class T>
void check_state(const Model<T>& model, TrainState<T>& state, const TrainerOptions& options) {
  const std::vector<BlockShape>& shapes = model.blocks();
  const auto n_of = [&](std::size_t n, const char* what) {
    if (n != shapes.size())
      throw InvalidArgument(
          "state", "has " + std::to_string(n) + " " + what + " (need " + std::to_string(shapes.size()) + ")");
  };
  n_of(state.blocks.size(), "blocks");
  if (!state.masters.empty()) n_of(state.masters.size(), "master blocks");
  if (!state.remainders.empty()) n_of(state.remainders.size(), "remainders");
  if (!state.rule_states.empty()) n_of(state.rule_states.size(), "rule memories");
  if (state.step < 0)
    throw InvalidArgument("state", "is at step " + std::to_string(state.step) + " (need 0 or more)");
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const auto check_block = [&](const auto& values, const char* kind) {
      if (values.size() != shapes[k].size())
        throw InvalidArgument("state", std::string(kind) + "block " + shapes[k].name + " has " +
                                           std::to_string(values.size()) + " entries (need " +
                                           std::to_string(shapes[k].size()) + ")");
      for (const auto w : values)
        if (!std::isfinite(w))
          throw InvalidArgument("state", std::string(kind) + "block " + shapes[k].name + " is not finite");
    };
    check_block(state.blocks[k], "");
    if (!state.masters.empty() && !state.masters[k].empty()) check_block(state.masters[k], "master ");
    if (!state.remainders.empty() && !state.remainders[k].empty())
      check_block(state.remainders[k], "remainder of ");
  }
  for (std::size_t k = 0; k < state.rule_states.size(); ++k)
    check_memory(*make_step_rule<T>(options.rule(k)), shapes[k], state.rule_states[k]);
  state.masters.resize(shapes.size());
  state.rule_states.resize(shapes.size());
}

}  // namespace

template <class T>
void check_run(const Model<T>& model, TrainState<T>& state, const TrainerOptions& options) {
  check_options(model, options);
  check_state(model, state, options);
}

template void check_run(const Model<float>&, TrainState<float>&, const TrainerOptions&);
template void check_run(const Model<double>&, TrainState<double>&, const TrainerOptions&);

}  // namespace softstep
