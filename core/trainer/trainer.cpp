#include "softstep/trainer.h"

#include <chrono>
#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/trainer/block_course.h"
#include "core/trainer/run_checks.h"
#include "softstep/error.h"

namespace softstep {
namespace {

void check_reference(const std::vector<double>& reference) {
  for (const double x : reference)
    if (!std::isfinite(x)) throw InvalidArgument("references", "one has an entry that is not finite");
  if (!reference.empty() && frobenius_norm(reference) == 0.0)
    throw InvalidArgument("references", "one is zero and has no direction");
}

}  // namespace

const RuleSettings& TrainerOptions::rule(std::size_t k) const {
  if (rules.size() == 1) return rules[0];
  if (k >= rules.size())
    throw InvalidArgument("k", std::to_string(k) + " (there are " + std::to_string(rules.size()) + " rules)");
  return rules[k];
}

void TrainerOptions::validate() const {
  if (n_steps < 0) throw InvalidArgument("n_steps", std::to_string(n_steps) + " (need 0 or more)");
  if (rules.empty()) throw InvalidArgument("rules", "0 (need one, or one for each block)");
  for (const RuleSettings& settings : rules)
    if (settings.object == nullptr) make_step_rule<double>(settings);
  if (normalization == Normalization::joint && rules.size() != 1)
    throw InvalidArgument("rules", std::to_string(rules.size()) + " with joint normalization (need one)");
  if (trace_rows_per_decade < 0)
    throw InvalidArgument("trace_rows_per_decade",
                          std::to_string(trace_rows_per_decade) + " (need 0 or more)");
  if (!(max_seconds >= 0.0))
    throw InvalidArgument("max_seconds", data::number_text(max_seconds) + " (need 0 or more)");
  if (checkpoint_steps < 0)
    throw InvalidArgument("checkpoint_steps", std::to_string(checkpoint_steps) + " (need 0 or more)");
  if (!(checkpoint_seconds > 0.0))
    throw InvalidArgument("checkpoint_seconds",
                          data::number_text(checkpoint_seconds) + " (need a positive number)");
  for (const double x : thresholds)
    if (!(x > 0.0)) throw InvalidArgument("thresholds", data::number_text(x) + " (need positive numbers)");
  if (!(stop_one_minus_cos >= 0.0))
    throw InvalidArgument("stop_one_minus_cos",
                          data::number_text(stop_one_minus_cos) + " (need 0 or a positive number)");
  for (const std::vector<double>& reference : references) check_reference(reference);
  const bool has_reference = !references.empty() && !references[0].empty();
  if (!has_reference && (!thresholds.empty() || stop_one_minus_cos > 0.0))
    throw InvalidArgument("references", "missing (thresholds and stop_one_minus_cos need one)");
}

template <NumberType T>
TrainSummary train(const Model<T>& model, TrainState<T>& state, const TrainerOptions& options) {
  check_run(model, state, options);
  const auto started = std::chrono::steady_clock::now();
  BlockCourse<T> course(model, state, options);
  const double setup = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  TrainSummary summary = run(course, options, state.step, state.seconds);
  summary.form = course.trajectory().form();
  summary.threads_used = course.trajectory().n_threads();
  summary.setup_seconds = setup;
  return summary;
}

template TrainSummary train(const Model<float>&, TrainState<float>&, const TrainerOptions&);
template TrainSummary train(const Model<double>&, TrainState<double>&, const TrainerOptions&);

}  // namespace softstep
