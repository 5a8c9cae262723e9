// Whole steps of every rule of rules.def, on the active instruction set: what a run costs.

#include <algorithm>

#include "core/reference/attention.h"
#include "shapes.h"
#include "softstep/softstep.h"
#include "support.h"

namespace softstep::bench {
namespace {

// Rows l'(m_i) X_i^T r_i / n of the exact gradient, from the definition.
template <class T>
std::vector<std::vector<long double>> gradient_rows(const BatchView<T>& batch, const TokenScores& scores,
                                                    const std::vector<T>& weights) {
  std::vector<std::vector<long double>> rows;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    std::vector<long double> v(batch.dim, 0);
    for (std::size_t r = 0; r < batch.dim; ++r)
      for (std::size_t c = 0; c < batch.dim; ++c)
        v[r] += static_cast<long double>(weights[r * batch.dim + c]) * batch.query(i)[c];
    const std::size_t n_tokens = batch.tokens_of(i);
    const auto s =
        reference::scores<long double>(batch.sample(i), batch.row_stride(), n_tokens, batch.dim, v.data());
    const auto gaps = scores.gaps.begin() + static_cast<std::ptrdiff_t>(scores.first[i]);
    const std::vector<long double> gap(gaps, gaps + static_cast<std::ptrdiff_t>(n_tokens));
    const auto exact = reference::attention<long double>(n_tokens, s.data(), gap.data(), scores.optimal[i]);
    const auto row_weights = reference::gradient_weights<long double>(exact, gap.data(), 0.0L);
    rows.push_back(reference::weighted_sum<long double>(batch.sample(i), batch.row_stride(), n_tokens,
                                                        batch.dim, row_weights.data()));
    const long double margin = scores.optimal_score[i] - exact.gap_to_optimal;
    const long double slope = -1 / (1 + std::exp(margin)) / static_cast<long double>(batch.n_samples);
    for (long double& g : rows.back()) g *= slope;
  }
  return rows;
}

// A step from W to `after` must have gone along the exact gradient at W: at about 500 entries the worst
// distance from -length G / |G|, over |G|'s rounding bound and that of the addition.
template <class T>
double worst_over_bound(const BatchView<T>& batch, const std::vector<T>& w, const std::vector<T>& after,
                        double length) {
  const std::size_t d = batch.dim;
  const auto rows = gradient_rows(batch, score_tokens(batch), w);
  const auto entry = [&](std::size_t r, std::size_t c) {
    long double g = 0;
    for (std::size_t i = 0; i < batch.n_samples; ++i) g += rows[i][r] * batch.query(i)[c];
    return g;
  };
  Objective<T> objective(batch);
  Evaluation<T> now;
  objective.evaluate(w.data(), now);
  const double norm = now.gradient_norm_scaled().value();
  double worst = 0.0;
  for (std::size_t k = 0; k < d * d; k += d * d / 500 + 1) {
    const auto expected =
        static_cast<double>(w[k]) - length * static_cast<double>(entry(k / d, k % d)) / norm;
    const double bound = unit_roundoff<T> * (8 * static_cast<double>(d) * length + std::fabs(expected));
    const double ratio = std::fabs(static_cast<double>(after[k]) - expected) / bound;
    if (!(ratio <= worst)) worst = ratio;
    if (std::isnan(ratio)) return ratio;
  }
  return worst;
}

template <class T>
void measure(benchmark::State& state, const std::string& rule, const Shape& shape) {
  GeneratorOptions generator;
  generator.n_samples = shape.n_samples;
  generator.n_tokens = shape.n_tokens;
  generator.dim = shape.dim;
  const Dataset<T> data = convert<T>(generate(generator));
  Objective<T> objective(data.view());
  TrainState<T> run = initial_state<T>(nullptr, shape.dim);
  TrainerOptions options;
  options.rule = parse_rule(rule);
  options.trace_rows_per_decade = 0;
  options.n_steps = 3;
  train(objective, run, options);
  const std::vector<T> before = run.weights;
  options.n_steps = 1;
  const TrainSummary one = train(objective, run, options);
  if (!verified(state, worst_over_bound(data.view(), before, run.weights, one.last.step_length), 1.0)) return;

  // Enough steps that the clock is exact; the two measurements of the state at either end are not in the
  // time.
  const double flops = 4.0 * static_cast<double>(shape.n_samples * shape.dim) *
                       static_cast<double>(shape.dim + shape.n_tokens);
  options.n_steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(2e7 / flops));
  for (auto _ : state) state.SetIterationTime(train(objective, run, options).seconds);
  const auto steps = static_cast<double>(options.n_steps);
  const auto tokens = static_cast<double>(shape.n_samples * shape.n_tokens);
  using benchmark::Counter;
  state.counters["steps/s"] = Counter(steps, Counter::kIsIterationInvariantRate);
  state.counters["tokens/s"] = Counter(steps * tokens, Counter::kIsIterationInvariantRate);
  count(state, steps * flops, 0.0);
}

const bool registered = [] {
  const auto enlist = [](const std::string& rule, const Shape& shape, const char* type, auto run) {
    const std::string label = "step/" + rule + "/" + type + "/" + name(shape);
    benchmark::RegisterBenchmark(label.c_str(), run)->UseManualTime();
  };
  for (const RuleInfo& rule : step_rules())
    for (const Shape& shape : shapes) {
      enlist(rule.name, shape, "f32", [=](benchmark::State& s) { measure<float>(s, rule.name, shape); });
      enlist(rule.name, shape, "f64", [=](benchmark::State& s) { measure<double>(s, rule.name, shape); });
    }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
