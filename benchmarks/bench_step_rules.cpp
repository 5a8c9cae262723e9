// Whole steps of every rule of rules.def, in every form, on the active instruction set: what a run costs.

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "data.h"
#include "forms.h"
#include "limits/limits.h"
#include "softstep/softstep.h"
#include "step_check.h"
#include "step_parts.h"

namespace softstep::bench {
namespace {

// A rule with a direction of its own is tested against its formula in tests/step_rules; here, that the
// trainer gives it the right gradient, weights and memory and does what it says: the distance of W from where
// the rule itself, shown what the objective evaluates, would go, over the length of the step. A wrong
// gradient, layout or memory makes it about 1; entries and singular values within rounding of zero may turn
// over, which is what a twentieth is for.
template <class T>
double distance_from_own_step(const BatchView<T>& batch, const std::string& name, const TrainState<T>& start,
                              const std::vector<T>& after) {
  const std::size_t d = batch.dim;
  AttentionModel<T> objective(batch);
  Evaluation<T> now;
  objective.evaluate(start.blocks, now);
  RuleState memory = start.rule_states[0];
  memory.direction.clear();
  // What a dense trainer remembers may be transposed, as the gradient it showed.
  const auto step_with = [&](bool transposed) {
    const auto laid_out = [&](std::vector<T> x) {
      if (transposed)
        for (std::size_t r = 0; r < d; ++r)
          for (std::size_t c = 0; c < r; ++c) std::swap(x[r * d + c], x[c * d + r]);
      return x;
    };
    const std::vector<T> gradient = laid_out(now.gradients[0].values), w = laid_out(start.blocks[0]),
                         moved = laid_out(after);
    RuleState state = memory;
    const Step<T> step = make_step_rule<T>(parse_rule(name))
                             ->step({start.step, now.loss_gap, gradient.data(), d, d,
                                     now.gradients[0].exponent, now.gradients[0].norm, w.data()},
                                    state);
    double squared = 0;
    for (std::size_t k = 0; k < d * d; ++k) {
      const auto before = static_cast<double>(w[k]);
      const double expected = step.replaces ? step.computed[k] : before - step.coefficient * step.computed[k];
      squared += std::pow(static_cast<double>(moved[k]) - expected, 2);
    }
    return std::sqrt(squared) / step.length / 0.05;
  };
  return std::min(step_with(false), step_with(true));
}

// How an iteration is made up: so many runs of so many steps.
struct RunPlan {
  std::int64_t n_runs = 0, n_steps = 0;
};

// Enough steps that the clock is exact: 20 ms of them, at least 3, in runs of at most 2000. Polyak's steps
// grow without end once a sample has settled on another token than the optimal one, and the run ends: then
// runs are shorter.
template <class T, class Run>
RunPlan plan_runs(const TrainState<T>& start, Run run_from) {
  constexpr double seconds = 0.02;
  std::int64_t n_steps = 3;
  double step = seconds;
  for (;;) {
    TrainState<T> from = start;
    const TrainSummary trial = run_from(from, n_steps);
    if (trial.steps == 0) return {1, n_steps};  // the measurement will say why
    step = trial.seconds / static_cast<double>(trial.steps);
    if (trial.steps < n_steps) {
      n_steps = std::max<std::int64_t>(1, trial.steps / 2);
      break;
    }
    if (n_steps == 2000 || trial.seconds > 0.2 * seconds) break;
    n_steps = std::min<std::int64_t>(2000, 10 * n_steps);
  }
  n_steps = std::min(n_steps, std::max<std::int64_t>(3, static_cast<std::int64_t>(seconds / step)));
  return {
      std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds / (step * static_cast<double>(n_steps)))),
      n_steps};
}

// What the benchmarks of a shape share, made when the first of them asks.
template <class T>
class StepCase {
 public:
  explicit StepCase(const Shape& shape) : batch_(signal_noise<T>(shape).view()) {}

  AttentionModel<T>& objective(int threads) {
    auto& known = objectives_[threads];
    if (!known) {
      AttentionOptions how;
      how.n_threads = threads;
      known = std::make_unique<AttentionModel<T>>(batch_, how);
    }
    return *known;
  }
  const TrainState<T>& start(const std::string& rule) {
    const auto [entry, is_new] = starts_.try_emplace(rule);
    if (is_new) entry->second = early_state(objective(1), rule);
    return entry->second;
  }
  /// From where NGD has come to.
  const ExactStep<T>& exact() {
    if (!exact_) exact_.emplace(batch_, start("ngd").blocks[0]);
    return *exact_;
  }
  /// To be filled in by the first repetition.
  RunPlan& plan(const std::string& label) { return plans_[label]; }
  const StepParts& parts() {
    if (!parts_) parts_ = measure_parts(objective(1));
    return *parts_;
  }

 private:
  const BatchView<T>& batch_;
  std::map<int, std::unique_ptr<AttentionModel<T>>> objectives_;
  std::map<std::string, TrainState<T>> starts_;
  std::map<std::string, RunPlan> plans_;
  std::optional<ExactStep<T>> exact_;
  std::optional<StepParts> parts_;
};

template <class T>
StepCase<T>& step_case(const Shape& shape) {
  static std::map<std::string, StepCase<T>> known;
  return known.try_emplace(name(shape), shape).first->second;
}

template <class T>
void measure(benchmark::State& state, const std::string& label, const std::string& rule, const FormRow& form,
             const Shape& shape, int threads) {
  StepCase<T>& given = step_case<T>(shape);
  AttentionModel<T>& objective = given.objective(threads);
  TrainerOptions options;
  options.form = form.form;
  options.rules = {parse_rule(rule)};
  options.trace_rows_per_decade = 0;
  const bool along_gradient = make_step_rule<T>(options.rules[0])->moves_along_gradient();
  const auto run_from = [&](TrainState<T>& from, std::int64_t n_steps) {
    options.n_steps = n_steps;
    return train(objective, from, options);
  };
  // Along the gradient all rules go on from one place, for which the exact gradient is known.
  const TrainState<T>& start = given.start(along_gradient ? "ngd" : rule);
  const auto check = [&] {
    TrainState<T> after = start;
    const TrainSummary one = run_from(after, 1);
    if (!along_gradient) return distance_from_own_step(objective.batch(), rule, start, after.blocks[0]);
    return given.exact().worst_over_bound(after.blocks[0], one.last.step_length);
  };
  if (!verified_once(state, label, check)) return;

  // Always the same steps; the two measurements of the state at either end of a run are not in the time.
  RunPlan& plan = given.plan(label);
  if (plan.n_runs == 0) plan = plan_runs(start, run_from);
  double seconds = 0;
  for (auto _ : state) {
    double now = 0;
    for (std::int64_t k = 0; k < plan.n_runs; ++k) {
      TrainState<T> from = start;
      const TrainSummary summary = run_from(from, plan.n_steps);
      if (summary.steps != plan.n_steps) {
        state.SkipWithError(("ended early: " + std::string(to_string(summary.status))).c_str());
        return;
      }
      now += summary.seconds;
    }
    seconds += now;
    state.SetIterationTime(now);
  }
  const auto steps = static_cast<double>(plan.n_runs * plan.n_steps);
  const double step = seconds / steps / static_cast<double>(state.iterations());
  const auto elements = static_cast<double>(shape.n_samples * shape.n_tokens * shape.dim);
  const auto d = static_cast<double>(shape.dim);
  const double flops = 4.0 * static_cast<double>(shape.n_samples) * d * d + 4.0 * elements;
  const double bytes = (elements + 2 * d * d) * sizeof(T);
  const auto tokens = static_cast<double>(shape.n_samples * shape.n_tokens);
  using benchmark::Counter;
  state.counters["steps/s"] = Counter(steps, Counter::kIsIterationInvariantRate);
  state.counters["tokens/s"] = Counter(steps * tokens, Counter::kIsIterationInvariantRate);
  state.counters["us/step"] = step * 1e6;
  if (!form.does_dense_work) return;
  const simd::Isa& isa = *simd::find_isa(objective.isa().c_str());
  count(state, {steps * flops, peak_flops<T>(isa, threads), steps * bytes,
                read_bandwidth(level_of(bytes, threads), threads)});
  if (threads > 1 || !along_gradient) return;
  const StepParts& parts = given.parts();
  state.counters["share_products"] = parts.products / step;
  state.counters["share_attention"] = parts.attention / step;
  state.counters["share_update"] = parts.update / step;
  state.counters["share_finish"] = 1 - (parts.products + parts.attention + parts.update) / step;
}

template <class T>
void register_step(const std::string& rule, const FormRow& form, const Shape& shape, int threads) {
  const std::string label = "step/" + rule + "/" + form.name() + "/" + type_name<T> + "/" + name(shape) +
                            "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(
      label.c_str(), [=, &form](benchmark::State& s) { measure<T>(s, label, rule, form, shape, threads); })
      ->UseManualTime()
      ->Iterations(1);
}

bool of_the_paper(const std::string& rule) { return rule == "gd" || rule == "ngd" || rule == "polyak"; }

const bool registered = [] {
  for (const RuleInfo& rule : step_rules())
    for (const FormRow& form : forms)
      for (const Shape& shape : shapes)
        for (const int threads : thread_counts()) {
          if (!form.fits(shape)) continue;
          // A direction of the rule's own needs W, and may need its singular values, which take d^3. What the
          // others along the gradient do beside the paper's rules is arithmetic on a few numbers, and forms
          // and threads are the same for all.
          const bool along_gradient = make_step_rule<double>({rule.name, {}})->moves_along_gradient();
          const bool simplest = form.form == Form::dense && threads == 1;
          if (!(along_gradient ? simplest || of_the_paper(rule.name) : simplest && shape.dim <= 256))
            continue;
          register_step<float>(rule.name, form, shape, threads);
          register_step<double>(rule.name, form, shape, threads);
        }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
