// Whole steps of every rule of rules.def, in every form, on the active instruction set: what a run costs.

#include <algorithm>
#include <cmath>

#include "data.h"
#include "forms.h"
#include "limits/limits.h"
#include "softstep/softstep.h"
#include "step_check.h"
#include "step_parts.h"

namespace softstep::bench {
namespace {

// A rule with a direction of its own is tested against its formula in tests/step_rules; here, that the trainer gives it the
// right gradient, weights and memory and does what it says: the distance of W from where the rule itself, shown what the
// objective evaluates, would go, over the length of the step. A wrong gradient, layout or memory makes it about 1; entries and
// singular values within rounding of zero may turn over, which is what a twentieth is for.
template <class T>
double distance_from_own_step(const BatchView<T>& batch, const std::string& name, const TrainState<T>& start,
                              const std::vector<T>& after) {
  const std::size_t d = batch.dim;
  Objective<T> objective(batch);
  Evaluation<T> now;
  objective.evaluate(start.weights.data(), now);
  RuleState memory = start.rule_state;
  memory.direction.clear();
  // What a dense trainer remembers may be transposed, as the gradient it showed.
  const auto step_with = [&](bool transposed) {
    const auto laid_out = [&](std::vector<T> x) {
      if (transposed)
        for (std::size_t r = 0; r < d; ++r)
          for (std::size_t c = 0; c < r; ++c) std::swap(x[r * d + c], x[c * d + r]);
      return x;
    };
    const std::vector<T> gradient = laid_out(now.gradient), w = laid_out(start.weights),
                         moved = laid_out(after);
    RuleState state = memory;
    const Step<T> step = make_step_rule<T>(parse_rule(name))
                             ->step({start.step, now.loss_gap, gradient.data(), d, d, now.gradient_exponent,
                                     now.gradient_norm, w.data()},
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

// Polyak's steps grow without end once a sample has settled on another token than the optimal one, and the run ends:
// then many short runs are measured.
template <class T, class Run>
std::int64_t steps_possible(std::int64_t wanted, const TrainState<T>& start, Run run_from) {
  TrainState<T> from = start;
  const TrainSummary summary = run_from(from, wanted);
  return summary.steps == wanted ? wanted : std::max<std::int64_t>(1, summary.steps / 2);
}

template <class T>
void measure(benchmark::State& state, const std::string& label, const std::string& rule, const FormRow& form,
             const Shape& shape, int threads) {
  const BatchView<T>& data = signal_noise<T>(shape).view();
  ObjectiveOptions how;
  how.n_threads = threads;
  Objective<T> objective(data, how);
  TrainerOptions options;
  options.form = form.form;
  options.rule = parse_rule(rule);
  options.trace_rows_per_decade = 0;
  const auto run_from = [&](TrainState<T>& from, std::int64_t n_steps) {
    options.n_steps = n_steps;
    return train(objective, from, options);
  };
  TrainState<T> start = initial_state<T>(nullptr, shape.dim);
  run_from(start, 3);
  const auto check = [&] {
    TrainState<T> after = start;
    const TrainSummary one = run_from(after, 1);
    if (!make_step_rule<T>(options.rule)->moves_along_gradient())
      return distance_from_own_step(data, rule, start, after.weights);
    return worst_over_bound(data, start.weights, after.weights, one.last.step_length);
  };
  if (!verified_once(state, label, check)) return;

  // Enough steps that the clock is exact, always the same ones; the two measurements of the state at either end are not
  // in the time.
  const auto elements = static_cast<double>(shape.n_samples * shape.n_tokens * shape.dim);
  const auto d = static_cast<double>(shape.dim);
  const double flops = 4.0 * static_cast<double>(shape.n_samples) * d * d + 4.0 * elements;
  const double bytes = (elements + 2 * d * d) * sizeof(T);
  const std::int64_t wanted = std::max<std::int64_t>(3, static_cast<std::int64_t>(2e7 / flops));
  const std::int64_t length = wanted > 8 ? steps_possible(wanted, start, run_from) : wanted;
  const std::int64_t n_runs = (wanted + length - 1) / length;
  double seconds = 0;
  for (auto _ : state) {
    double now = 0;
    for (std::int64_t k = 0; k < n_runs; ++k) {
      TrainState<T> from = start;
      const TrainSummary summary = run_from(from, length);
      if (summary.steps != length) {
        state.SkipWithError(("ended early: " + std::string(to_string(summary.status))).c_str());
        return;
      }
      now += summary.seconds;
    }
    seconds += now;
    state.SetIterationTime(now);
  }
  const auto steps = static_cast<double>(length * n_runs);
  const double step = seconds / steps / static_cast<double>(state.iterations());
  const auto tokens = static_cast<double>(shape.n_samples * shape.n_tokens);
  using benchmark::Counter;
  state.counters["steps/s"] = Counter(steps, Counter::kIsIterationInvariantRate);
  state.counters["tokens/s"] = Counter(steps * tokens, Counter::kIsIterationInvariantRate);
  state.counters["us/step"] = step * 1e6;
  if (!form.does_dense_work) return;
  const simd::Isa& isa = *simd::find_isa(objective.isa().c_str());
  count(state, {steps * flops, peak_flops<T>(isa, threads), steps * bytes,
                read_bandwidth(level_of(bytes, threads), threads)});
  if (threads > 1 || !make_step_rule<T>(options.rule)->moves_along_gradient()) return;
  const StepParts parts = measure_parts<T>(isa, shape);
  state.counters["share_products"] = parts.products / step;
  state.counters["share_attention"] = parts.attention / step;
  state.counters["share_update"] = parts.update / step;
  state.counters["share_finish"] = 1 - (parts.products + parts.attention + parts.update) / step;
}

template <class T>
void register_step(const std::string& rule, const FormRow& form, const Shape& shape, int threads) {
  const std::string label = "step/" + rule + "/" + form.name() + "/" + type_name<T> + "/" + name(shape) +
                            "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(label.c_str(), [=, &form](benchmark::State& s) {
    measure<T>(s, label, rule, form, shape, threads);
  })->UseManualTime();
}

bool of_the_paper(const std::string& rule) { return rule == "gd" || rule == "ngd" || rule == "polyak"; }

const bool registered = [] {
  for (const RuleInfo& rule : step_rules())
    for (const FormRow& form : forms)
      for (const Shape& shape : shapes)
        for (const int threads : thread_counts()) {
          if (!form.fits(shape)) continue;
          // A direction of the rule's own needs W, and may need its singular values, which take d^3. What the others along the
          // gradient do beside the paper's rules is arithmetic on a few numbers, and forms and threads are the same for all.
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
