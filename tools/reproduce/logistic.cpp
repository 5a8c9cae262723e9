// The linear analogy: logistic regression on separable points.

#include <cmath>
#include <limits>

#include "parallel.h"
#include "points.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 5;
constexpr std::int64_t n_steps = 100000;

enum Which { gd, ngd, polyak, momentum, n_rules };
const RuleUnderTest rules[n_rules] = {{"gd:step-size=10", "gd", "ngd"},
                                      {"ngd:step-size=1", "ngd", "gd:step-size=10"},
                                      {"polyak", "polyak", "gd:step-size=10"},
                                      {"momentum", "momentum", "gd:step-size=10"}};

double norm_of(const TraceRecord& row) { return row.weight_norm; }
double distance(const TraceRecord& row) { return row.one_minus_cos; }

struct Points {
  Dataset<double> data;
  MaxMarginResult limit;
};

// The first tokens of random_unit: 20 points on the sphere in 30 dimensions with random labels, which are
// separable.
Points make_points(std::uint64_t seed) {
  GeneratorOptions generator;
  generator.generator = "random_unit";
  generator.n_samples = 20;
  generator.n_tokens = 2;
  generator.dim = 30;
  generator.seed = seed;
  Points out{generate(generator), {}};
  out.limit = solve_points(out.data.view(), {});
  return out;
}

Result run(const Context& context) {
  std::vector<Points> points;
  for (std::uint64_t seed = 0; seed < n_seeds; ++seed) points.push_back(make_points(seed));
  std::vector<Trace> traces(n_rules * n_seeds);
  parallel_for(traces.size(), context.n_threads, [&](std::size_t k) {
    const std::size_t seed = k / n_rules;
    const auto model = make_linear_model(points[seed].data.view());
    TrainerOptions trainer;
    trainer.rules = {rules[k % n_rules].settings(context)};
    trainer.n_steps = n_steps;
    trainer.references = {points[context.broken ? (seed + 1) % n_seeds : seed].limit.weights};
    TrainState<double> state = normal_state(*model, 0.0, 0);
    traces[k] = run_model(*model, state, trainer);
  });
  Result result;
  result.configuration = {
      {"points", 20}, {"dim", 30}, {"seeds", n_seeds}, {"steps", n_steps}, {"loss", "logistic"}};
  if (interrupted_run(traces)) return result;
  const auto median_of = [&](std::size_t rule, auto f) {
    std::vector<double> values;
    for (std::size_t seed = 0; seed < n_seeds; ++seed)
      values.push_back(
          f(traces[seed * n_rules + rule], points[context.broken ? (seed + 1) % n_seeds : seed].limit));
    return median(values);
  };
  const auto exponent = [&](std::size_t rule, double (*column)(const TraceRecord&), double lowest,
                            double highest) {
    return median_of(rule, [&](const Trace& trace, const MaxMarginResult&) {
      return fitted_exponent(trace.steps(), trace.column(column), lowest, highest);
    });
  };
  const auto slope = [&](const Trace& trace, double (*column)(const TraceRecord&)) {
    return fit_line(trace.steps(n_steps / 2), trace.column(column, n_steps / 2)).slope;
  };
  result.checks.push_back({"gd: growth of norm(w) over t = 1e4..1e5 against 1e3..1e4 (norm ~ log t)", "1",
                           median_of(gd,
                                     [](const Trace& trace, const MaxMarginResult&) {
                                       const auto at = [&](double t) {
                                         return value_at(trace.steps(), trace.column(norm_of), t);
                                       };
                                       return (at(1e5) - at(1e4)) / (at(1e4) - at(1e3));
                                     }),
                           0.9, 1.1});
  result.checks.push_back({"gd: exponent of the loss", "-1",
                           median_of(gd,
                                     [](const Trace& trace, const MaxMarginResult&) {
                                       return fitted_exponent(trace.steps(),
                                                              trace.column([](const TraceRecord& row) {
                                                                return std::pow(10.0, row.log10_loss);
                                                              }),
                                                              1e3, n_steps);
                                     }),
                           -1.05, -0.95});
  result.checks.push_back(
      {"ngd: norm(w) / (eta t)", "1",
       median_of(ngd, [](const Trace& trace,
                         const MaxMarginResult&) { return trace.last().weight_norm / n_steps; }),
       0.99, 1.01});
  result.checks.push_back(
      {"ngd: exponent of 1 - cos(w, w_mm)", "-2", exponent(ngd, distance, 1e3, n_steps), -2.1, -1.9});
  result.checks.push_back(
      {"polyak: exponent of norm(w)", "1", exponent(polyak, norm_of, 1e3, n_steps), 0.97, 1.03});
  // Every step of length l along w_mm takes l / norm(w_mm) off ln L. (The length is norm(w_mm) / 2 where
  // steps are small beside the points, as in attention; here they overshoot from one support vector to
  // another.)
  result.checks.push_back({"polyak: ln(L) a step, times norm(w_mm) over the growth of norm(w)", "-1",
                           median_of(polyak,
                                     [&](const Trace& trace, const MaxMarginResult& limit) {
                                       return slope(trace,
                                                    [](const TraceRecord& row) { return row.log10_loss; }) *
                                              std::log(10.0) * limit.norm / slope(trace, norm_of);
                                     }),
                           -1.01, -0.99});
  result.checks.push_back(
      {"momentum: exponent of norm(w)", "2", exponent(momentum, norm_of, 1e2, 1e4), 1.9, 2.1});
  result.checks.push_back({"momentum: 1 - cos at 1e3 steps over that of ngd", "below 1/10",
                           median_of(momentum,
                                     [&](const Trace& trace, const MaxMarginResult&) {
                                       return value_at(trace.steps(), trace.column(distance), 1e3);
                                     }) /
                               median_of(ngd,
                                         [&](const Trace& trace, const MaxMarginResult&) {
                                           return value_at(trace.steps(), trace.column(distance), 1e3);
                                         }),
                           0.0, 0.1});
  DataFile file{"trace.csv", {}, {}};
  Figure figure{"one_minus_cos", "Logistic regression: distance from the limit",
                "First of 5 sets of 20 points on the sphere in 30 dimensions.", "step",
                "$1 - \\cos(w_t, w_{\\mathrm{mm}})$"};
  Figure norms{"weight_norm", "Logistic regression: norm of the weights", figure.caption, "step",
               "$\\Vert w_t \\Vert$"};
  for (std::size_t rule = 0; rule < n_rules; ++rule) {
    const Trace& trace = traces[rule];
    figure.series.push_back({rules[rule].label, trace.steps(), trace.column(distance)});
    norms.series.push_back({rules[rule].label, trace.steps(), trace.column(norm_of)});
    for (std::size_t seed = 0; seed < n_seeds; ++seed)
      add_trace_rows(file, rules[rule].label, seed, traces[seed * n_rules + rule]);
  }
  result.figures = {figure, norms};
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry logistic_entry = {"logistic",
                              "The linear analogy: logistic regression on separable points",
                              "The same rules on the system that the paper draws its analogy from, with the "
                              "same laws (Soudry et al. 2018; Ji, Srebro, "
                              "Telgarsky 2021 for momentum).",
                              "every rule replaced by another, and the limit of other points",
                              run,
                              "Soudry et al. 2018; Ji, Srebro, Telgarsky 2021",
                              "the linear analogy",
                              "holds"};

}  // namespace softstep::program::reproduce
