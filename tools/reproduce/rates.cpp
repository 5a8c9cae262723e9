// The paper's rates with a fixed decoder: gradient descent, normalised gradient descent with three schedules,
// Polyak.

#include <cmath>
#include <limits>

#include "fit.h"
#include "parallel.h"
#include "runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr int n_seeds = 5;
constexpr std::int64_t n_steps = 100000;

// A hidden epsilon turns the others into gradient descent.
const RuleUnderTest rules[] = {
    {"gd:step-size=20", "gd, $\\eta = 20$", "ngd:step-size=1"},
    {"ngd:step-size=1", "ngd, $\\eta = 1$", "gd:step-size=20"},
    {"ngd:step-size=1,schedule-power=0.25", "ngd, $\\eta_t = t^{-1/4}$", "gd:step-size=20"},
    {"ngd:step-size=1,schedule-power=0.5", "ngd, $\\eta_t = t^{-1/2}$", "gd:step-size=20"},
    {"polyak", "polyak", "gd:step-size=20"}};
enum Which { gd, ngd, ngd_quarter, ngd_half, polyak, n_rules };

GeneratorOptions data_of(int seed) {
  GeneratorOptions options;
  options.seed = static_cast<std::uint64_t>(seed);
  return options;
}

struct Runs {
  std::vector<Trace> traces = std::vector<Trace>(std::size_t{n_rules} * n_seeds);
  std::vector<double> limit_norm = std::vector<double>(n_seeds);

  const Trace& trace(int rule, int seed) const {
    return traces[static_cast<std::size_t>(seed) * n_rules + static_cast<std::size_t>(rule)];
  }
  /// Median over seeds of a number of each run.
  template <class F>
  double median_of(int rule, F f) const {
    std::vector<double> values;
    for (int seed = 0; seed < n_seeds; ++seed) values.push_back(f(trace(rule, seed), seed));
    return median(values);
  }
};

double norm_of(const TraceRecord& row) { return row.weight_norm; }
double log10_gap(const TraceRecord& row) { return row.log10_gap; }
double minus_log_attention(const TraceRecord& row) { return -row.log10_one_minus_optimal_attention; }
double one_minus_cos(const TraceRecord& row) { return row.one_minus_cos; }

Runs make_runs(const Context& context) {
  Runs runs;
  std::vector<Dataset<double>> data;
  std::vector<std::vector<double>> limits(n_seeds);
  for (int seed = 0; seed < n_seeds; ++seed) data.push_back(generate(data_of(seed)));
  parallel_for(n_seeds, context.n_threads, [&](std::size_t seed) {
    // Broken: the direction of other data.
    limits[seed] = max_margin_direction(data[context.broken ? (seed + 1) % n_seeds : seed].view());
    runs.limit_norm[seed] = frobenius_norm(limits[seed]);
  });
  std::vector<AttentionRun> wanted(runs.traces.size());
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    wanted[k].batch = &data[k / n_rules].view();
    wanted[k].rule = rules[k % n_rules].settings(context);
    wanted[k].n_steps = n_steps;
    wanted[k].reference = limits[k / n_rules];
  }
  runs.traces = run_attentions(wanted, context.n_threads);
  return runs;
}

/// Exponent of a column against t, median over seeds.
double exponent(const Runs& runs, int rule, double (*column)(const TraceRecord&), double lowest) {
  return runs.median_of(rule, [&](const Trace& trace, int) {
    return fitted_exponent(trace.steps(), trace.column(column), lowest, static_cast<double>(n_steps));
  });
}

/// Change of a column per step over the last half of the run.
double slope(const Trace& trace, double (*column)(const TraceRecord&)) {
  return fit_line(trace.steps(n_steps / 2), trace.column(column, n_steps / 2)).slope;
}

double angle_at_norm(const Trace& trace, double norm) {
  return std::exp(value_at(trace.column(norm_of),
                           trace.column([](const TraceRecord& row) { return std::log(row.angle); }), norm));
}

void add_checks(const Runs& runs, Result& result) {
  const double inf = std::numeric_limits<double>::infinity();
  const auto add = [&](const std::string& law, const std::string& expected, double measured, double lowest,
                       double highest) {
    result.checks.push_back({law, expected, measured, lowest, highest});
  };
  // Norms.
  add("gd: growth of norm(W) over t = 1e4..1e5 against 1e3..1e4 (norm ~ log t)", "1",
      runs.median_of(gd,
                     [](const Trace& trace, int) {
                       const auto at = [&](double t) {
                         return value_at(trace.steps(), trace.column(norm_of), t);
                       };
                       return (at(1e5) - at(1e4)) / (at(1e4) - at(1e3));
                     }),
      0.9, 1.1);
  add("ngd: norm(W) / (eta t)", "1",
      runs.median_of(ngd, [](const Trace& trace, int) { return trace.last().weight_norm / n_steps; }), 0.99,
      1.01);
  add("ngd, eta_t = t^-1/4: exponent of norm(W)", "3/4", exponent(runs, ngd_quarter, norm_of, 1e3), 0.73,
      0.77);
  add("ngd, eta_t = t^-1/2: exponent of norm(W)", "1/2", exponent(runs, ngd_half, norm_of, 1e3), 0.48, 0.52);
  add("polyak: growth of norm(W) a step / (norm(W_mm) / 2)", "1",
      runs.median_of(polyak,
                     [&](const Trace& trace, int seed) {
                       return slope(trace, norm_of) / (0.5 * runs.limit_norm[static_cast<std::size_t>(seed)]);
                     }),
      0.98, 1.02);
  // Directions.
  add("ngd: exponent of 1 - cos(W, W_mm)", "-2", exponent(runs, ngd, one_minus_cos, 1e3), -2.05, -1.95);
  add("ngd, eta_t = t^-1/4: exponent of 1 - cos", "-3/2", exponent(runs, ngd_quarter, one_minus_cos, 1e3),
      -1.6, -1.4);
  add("ngd, eta_t = t^-1/2: exponent of 1 - cos", "-1", exponent(runs, ngd_half, one_minus_cos, 1e4), -1.1,
      -0.9);
  add("polyak: exponent of 1 - cos", "-2", exponent(runs, polyak, one_minus_cos, 1e3), -2.05, -1.95);
  add("ngd: norm(W) angle / D, D of polyak (one D for all rules)", "1",
      runs.median_of(ngd,
                     [&](const Trace& trace, int seed) {
                       const auto d = [](const Trace& t) { return t.last().weight_norm * t.last().angle; };
                       return d(trace) / d(runs.trace(polyak, seed)) +
                              (trace.last().angle < 1e-3 ? 0.0
                                                         : inf);  // only of directions that have arrived
                     }),
      0.95, 1.05);
  add("gd: angle to W_mm over that of ngd at the same norm", "1",
      runs.median_of(gd,
                     [&](const Trace& trace, int seed) {
                       return trace.last().angle /
                              angle_at_norm(runs.trace(ngd, seed), trace.last().weight_norm);
                     }),
      0.9, 1.1);
  // Losses.
  add("gd: exponent of L - L*", "-1",
      runs.median_of(gd,
                     [](const Trace& trace, int) {
                       return fitted_exponent(trace.steps(), trace.column([](const TraceRecord& row) {
                         return std::pow(10.0, row.log10_gap);
                       }),
                                              1e3, n_steps);
                     }),
      -1.05, -0.95);
  add("polyak: ln(L - L*) a step", "-1/2",
      runs.median_of(polyak,
                     [](const Trace& trace, int) { return slope(trace, log10_gap) * std::log(10.0); }),
      -0.505, -0.495);
  add("ngd: exponent of -log(L - L*)", "1",
      exponent(
          runs, ngd, [](const TraceRecord& row) { return -row.log10_gap; }, 1e3),
      0.98, 1.02);
  // Attention.
  add("gd: exponent of 1 - p", "-1",
      runs.median_of(gd,
                     [](const Trace& trace, int) {
                       return fitted_exponent(trace.steps(), trace.column([](const TraceRecord& row) {
                         return std::pow(10.0, row.log10_one_minus_optimal_attention);
                       }),
                                              1e3, n_steps);
                     }),
      -1.1, -0.9);
  add("ngd: exponent of -log(1 - p)", "1", exponent(runs, ngd, minus_log_attention, 1e3), 0.95, 1.05);
  add("polyak: exponent of -log(1 - p)", "1", exponent(runs, polyak, minus_log_attention, 1e3), 0.95, 1.05);
}

Series series(const Runs& runs, int rule, double (*column)(const TraceRecord&), bool in_log10) {
  Series out;
  out.label = rules[rule].label;
  const std::vector<double> steps = runs.trace(rule, 0).steps();
  for (std::size_t k = 0; k < steps.size(); ++k) {
    std::vector<double> values;
    for (int seed = 0; seed < n_seeds; ++seed) {
      const std::vector<double> one = runs.trace(rule, seed).column(column);
      if (k < one.size()) values.push_back(in_log10 ? one[k] : std::log10(one[k]));
    }
    const double middle = median(values);
    out.x.push_back(steps[k]);
    out.y.push_back(in_log10 ? middle : std::pow(10.0, middle));
  }
  return out;
}

void add_figures(const Runs& runs, Result& result) {
  const std::string caption = "Median of 5 data sets signal_noise, n = 10, T = 6, d = 60; logistic loss.";
  const auto add = [&](const char* file, const char* title, const char* label,
                       double (*column)(const TraceRecord&), bool tower) {
    Figure figure;
    figure.file = file;
    figure.title = title;
    figure.caption = caption + (tower ? " Vertical axis: logarithm of the exponent." : "");
    figure.x_label = "step";
    figure.y_label = label;
    figure.y_scale = tower ? Scale::tower : Scale::logarithmic;
    for (int rule = 0; rule < n_rules; ++rule) figure.series.push_back(series(runs, rule, column, tower));
    result.figures.push_back(figure);
  };
  add("loss_gap", "Loss gap", "$L - L^*$", log10_gap, true);
  add("weight_norm", "Norm of the weights", "$\\Vert W_t \\Vert_F$", norm_of, false);
  add("one_minus_cos", "Distance from the max-margin direction", "$1 - \\cos(W_t, W_{\\mathrm{mm}})$",
      one_minus_cos, false);
  add(
      "one_minus_attention", "Attention not on the optimal token", "$\\max_i (1 - p_{i,\\mathrm{opt}})$",
      [](const TraceRecord& row) { return row.log10_one_minus_optimal_attention; }, true);
}

Result run(const Context& context) {
  const Runs runs = make_runs(context);
  Result result;
  result.configuration = {{"generator", "signal_noise"},
                          {"samples", 10},
                          {"tokens", 6},
                          {"dim", 60},
                          {"seeds", n_seeds},
                          {"steps", n_steps},
                          {"loss", "logistic"}};
  if (interrupted_run(runs.traces)) return result;
  add_checks(runs, result);
  add_figures(runs, result);
  DataFile file{"trace.csv", {}, {}};
  for (int rule = 0; rule < n_rules; ++rule)
    for (int seed = 0; seed < n_seeds; ++seed)
      add_trace_rows(file, rules[rule].text, static_cast<std::uint64_t>(seed), runs.trace(rule, seed));
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry rates_entry = {
    "rates",
    "Rates of gradient descent, normalised gradient descent and Polyak steps",
    "Norm, direction, loss gap and attention with a fixed decoder against their laws (arXiv 2402.05738, "
    "sections 3 and 4): the "
    "angle to W_mm is D / norm(W) with one D for all rules.",
    "every rule replaced by another, as a hidden epsilon does it, and W_mm of other data",
    run,
    "arXiv 2402.05738",
    "rates of norm, direction and gap of W",
    "holds"};

}  // namespace softstep::program::reproduce
