// Where float32, float64 and the textbook formula part.

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/textbook.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::int64_t n_steps = 30000, n_textbook_steps = 3000;

/// 1 - cos at the steps of a trace.
struct Curve {
  std::vector<double> steps, distance;
};

// The first step from which a curve is further than 10 % from another for good, NaN counted as far; else its last.
double parts_from(const Curve& curve, const Curve& truth) {
  double first = curve.steps.back();
  for (std::size_t k = curve.steps.size(); k-- > 0;) {
    const double expected = value_at(truth.steps, truth.distance, curve.steps[k]);
    if (std::fabs(curve.distance[k] / expected - 1.0) <= 0.1) break;
    first = curve.steps[k];
  }
  return first;
}

template <class T>
Curve ours(const Dataset<double>& data, const std::vector<double>& limit, const char* rule) {
  Curve curve;
  const Dataset<T> own = convert<T>(data);
  Objective<T> objective(own.view());
  TrainState<T> state = initial_state<T>(nullptr, own.view().dim);
  TrainerOptions options;
  options.rule = parse_rule(rule);
  options.n_steps = n_steps;
  options.reference = limit;
  options.trace = [&](const TraceRecord& row) {
    if (row.step > 0) {
      curve.steps.push_back(static_cast<double>(row.step));
      curve.distance.push_back(row.one_minus_cos);
    }
    return true;
  };
  train(objective, state, options);
  return curve;
}

template <class T>
Curve textbook(const Dataset<double>& data, const std::vector<double>& limit, bool polyak) {
  Curve curve;
  const Dataset<T> own = convert<T>(data);
  const BatchView<T>& batch = own.view();
  T optimal = T(0);
  for (const double gamma : score_tokens(batch).optimal_score)
    optimal += std::log1p(std::exp(-static_cast<T>(gamma))) / static_cast<T>(batch.n_samples);
  std::vector<T> w(batch.dim * batch.dim, T(0));
  double next = 1.0;
  for (std::int64_t t = 1; t <= n_textbook_steps; ++t) {
    const TextbookGradient<T> now = textbook_gradient(batch, w);
    const T step = polyak ? (now.loss - optimal) / (T(2) * now.norm * now.norm) : T(1) / now.norm;
    for (std::size_t k = 0; k < w.size(); ++k) w[k] -= step * now.gradient[k];
    if (static_cast<double>(t) < next) continue;
    next = std::max(static_cast<double>(t) + 1.0, next * std::pow(10.0, 0.05));
    curve.steps.push_back(static_cast<double>(t));
    curve.distance.push_back(compare_direction(w.data(), limit.data(), w.size()).one_minus_cos);
  }
  return curve;
}

Result run(const Context& context) {
  GeneratorOptions generator;
  const Dataset<double> data = generate(generator);
  const std::vector<double> limit = max_margin_direction(data.view());
  const char* rules[] = {"ngd", "polyak"};
  Curve wide[2], narrow[2], textbook_wide[2], textbook_narrow[2];
  parallel_for(2, context.n_threads, [&](std::size_t k) {
    wide[k] = ours<double>(data, limit, rules[k]);
    narrow[k] = ours<float>(data, limit, rules[k]);
    textbook_wide[k] = textbook<double>(data, limit, k == 1);
    textbook_narrow[k] = textbook<float>(data, limit, k == 1);
    // Broken: the textbook in place of our float32, and what never parts in place of the textbook.
    if (context.broken) {
      std::swap(narrow[k], textbook_narrow[k]);
      textbook_wide[k] = wide[k];
    }
  });
  Result result;
  result.configuration = {{"model", "signal_noise"},
                          {"samples", 10},
                          {"tokens", 6},
                          {"dim", 60},
                          {"seed", 0},
                          {"steps", n_steps},
                          {"textbook_steps", n_textbook_steps}};
  const double inf = std::numeric_limits<double>::infinity();
  Table table{"1 - cos(W, W_mm)", {"rule", "step", "f32", "f64", "textbook f32", "textbook f64"}, {}};
  for (std::size_t k = 0; k < 2; ++k) {
    const std::string rule = rules[k];
    // Where steps stay far above the rounding unit of W; float32 weights of norm 3e4 still take steps of length 1.
    result.checks.push_back({rule + ": first step from which float32 is not within 10 % of float64",
                             "3e4, the last", parts_from(narrow[k], wide[k]), static_cast<double>(n_steps),
                             inf});
    result.checks.push_back({rule + ": first step from which the textbook form in float32 is not",
                             "below 100", parts_from(textbook_narrow[k], wide[k]), 1.0, 100.0});
    result.checks.push_back({rule + ": first step from which the textbook form in float64 is not",
                             "below 1000", parts_from(textbook_wide[k], wide[k]), 1.0, 1000.0});
    for (const double t : {10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 30000.0}) {
      table.rows.push_back({rule, rounded(t, 6)});
      for (const Curve* curve : {&narrow[k], &wide[k], &textbook_narrow[k], &textbook_wide[k]})
        table.rows.back().push_back(rounded(value_at(curve->steps, curve->distance, t), 2));
    }
    Figure figure{"one_minus_cos_" + rule, "Where the textbook formula parts: " + rule,
                  "signal_noise, n = 10, T = 6, d = 60, seed 0. A curve ends where it is not a number.",
                  "step", "$1 - \\cos(W_t, W_{\\mathrm{mm}})$"};
    figure.series = {{"softstep, float64", wide[k].steps, wide[k].distance},
                     {"softstep, float32", narrow[k].steps, narrow[k].distance},
                     {"textbook, float64", textbook_wide[k].steps, textbook_wide[k].distance},
                     {"textbook, float32", textbook_narrow[k].steps, textbook_narrow[k].distance}};
    result.figures.push_back(figure);
  }
  result.tables.push_back(table);
  return result;
}

}  // namespace

const Entry precision_entry = {"precision", "Where float32, float64 and the textbook formula part",
                               "The pivot form with its exponent beside the mantissa, in both precisions, "
                               "and the formula p (gamma - m) that automatic "
                               "differentiation and published code compute.",
                               "the textbook form in place of softstep's float32, and the other way round",
                               run};

}  // namespace softstep::program::reproduce
