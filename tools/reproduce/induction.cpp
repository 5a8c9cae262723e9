// From a 4-gram to an induction head: the wait grows with the logarithm of the start.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "interrupt.h"
#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/worst.h"

namespace softstep::program::reproduce {

namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t n_sequences = 1500;
constexpr double step_size = 0.4;
constexpr std::int64_t most_steps = 8000;
const std::vector<double> starts = {1e-2, 1e-3, 1e-4};

struct Task {
  std::size_t length;
  double a, w_star;
};
constexpr Task tasks[] = {{20, 1.0, 1.0}, {40, 1.0, 1.0}, {20, 0.5, 1.0}, {20, 1.0, 0.5}};
constexpr std::size_t n_tasks = std::size(tasks);

InductionData data_of(const Task& task) {
  return induction_data(n_sequences, task.length, task.a, task.w_star, 0);
}

// Gradient descent, seen at every step until `row` has seen enough. Time is steps times step size.
template <class Row>
void descend(const Model<double>& model, std::vector<std::vector<double>> blocks, std::int64_t n_steps,
             const Row& row) {
  const auto space = model.make_workspace();
  Evaluation<double> at;
  double slope[1];
  for (std::int64_t n = 0; n <= n_steps; ++n) {
    if (!row(static_cast<double>(n) * step_size,
             std::vector<double>{blocks[0][0], blocks[1][0], blocks[2][0], blocks[3][0]}))
      return;
    if (n % 64 == 0 && interrupted()) return;
    model.evaluate(views_of(blocks), at, *space, want_gradient);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      at.gradients[b].plain(slope);
      blocks[b][0] -= step_size * slope[0];
    }
  }
}
std::vector<std::vector<double>> all_from(double start) { return {{start}, {start}, {start}, {start}}; }

struct Times {
  double escape = none, four_gram = none;
};

// When the scores come to half of their target, and when the 4-gram is learned to a twentieth.
Times times_of(const Task& task, double start, InductionScores scores, bool watch_four_gram) {
  const InductionData data = data_of(task);
  const auto model = make_induction_model<double>(data, {scores, ""});
  Times out;
  const double level = 0.5 * task.w_star * task.w_star;
  const double part = task.a / (1.0 + task.a);
  descend(*model, all_from(start), most_steps, [&](double t, const std::vector<double>& at) {
    if (watch_four_gram && std::isnan(out.four_gram) && t < 200.0 &&
        induction_parts(data, task.a, task.w_star, at, scores).four_gram < 0.05 * 0.5 * part * part)
      out.four_gram = t;
    if ((scores == InductionScores::product ? at[3] * at[3] : at[3]) < level) return true;
    out.escape = t;
    return false;
  });
  return out;
}

// d(log w)/dt where the rest has come to rest and w is 0: -2 dL/d(w^2), by the gradient of a score in one
// factor. From a run with w = 0, which stays there.
double growth_at_rest(const Task& task, double time) {
  const InductionData data = data_of(task);
  const auto model = make_induction_model<double>(data);
  std::vector<double> rest;
  descend(*model, {{1e-3}, {1e-3}, {1e-3}, {0.0}}, std::llround(time / step_size),
          [&](double, const std::vector<double>& at) {
            rest = at;
            return true;
          });
  const auto in_one_factor = make_induction_model<double>(data, {InductionScores::single, ""});
  Evaluation<double> at;
  in_one_factor->evaluate(std::vector<std::vector<double>>{{rest[0]}, {rest[1]}, {rest[2]}, {0.0}}, at);
  double slope[1];
  at.gradients[3].plain(slope);
  return -2.0 * slope[0];
}

struct Course {
  std::vector<double> t, four_gram, induction, position, match;
};

// With what the heads miss, at times that are evenly spaced in log t.
Course course_of(const Task& task, double start, double match_start, double time) {
  const InductionData data = data_of(task);
  const auto model = make_induction_model<double>(data);
  Course out;
  double next = 1.0;
  descend(*model, {{start}, {start}, {start}, {match_start}}, std::llround(time / step_size),
          [&](double t, const std::vector<double>& at) {
            if (t < next) return true;
            next = t * 1.05;
            const InductionParts parts = induction_parts(data, task.a, task.w_star, at);
            out.t.push_back(t);
            out.four_gram.push_back(parts.four_gram);
            out.induction.push_back(parts.induction);
            out.position.push_back(at[1]);
            out.match.push_back(at[3] * at[3]);
            return true;
          });
  return out;
}

Result run(const Context& context) {
  Result result;
  result.configuration = {
      {"sequences", n_sequences}, {"step_size", step_size}, {"starts", starts}, {"seed", 0}};
  const bool broken = context.broken;
  const InductionScores scores = broken ? InductionScores::single : InductionScores::product;
  const std::size_t n_starts = starts.size();

  // Runs by task and start, growth by task, and one long run: all at once, the long ones first.
  std::vector<Times> times(n_tasks * n_starts);
  std::vector<double> growth(n_tasks);
  Course course;
  const Task without_four_gram = {20, 0.0, 1.0};
  const Task& plain = tasks[0];
  parallel_for(times.size() + 1, context.n_threads, [&](std::size_t k) {
    if (k == 0) {
      // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): `tasks` is a constant, which is not followed here
      course = course_of(broken ? without_four_gram : plain, 1e-3, broken ? 0.0 : 1e-3, 2500.0);
      return;
    }
    const std::size_t at = times.size() - k;
    Task task = tasks[at / n_starts];
    const bool is_first = at / n_starts == 0;
    if (broken && is_first) task.a = 0.0;
    times[at] = times_of(task, starts[at % n_starts], scores, is_first);
  });
  // The rest goes on to move a little: its place in the middle of the three times.
  parallel_for(n_tasks, context.n_threads, [&](std::size_t task) {
    const double middle = times[task * n_starts + 1].escape;
    growth[task] = std::isnan(middle) ? none : growth_at_rest(tasks[task], middle);
  });
  if (interrupted()) return result;

  Table table{"Time until the induction head is found", {"L", "a", "w*"}, {}};
  for (const double start : starts) table.columns.push_back(fmt::format("from {:g}", start));
  table.columns.insert(table.columns.end(), {"by log 1/start", "1 / growth", "L (1 + a)^2 / (2 w*^2)"});
  DataFile file{"escape.csv", {"length", "a", "w_star", "start", "time", "four_gram_time"}, {}};
  Figure figure{
      "escape", "The wait for the induction head grows with the logarithm of the start",
      "Time until w^2 is half of what it is to be, from all four numbers at the start's size; L = 20, a = 1, "
      "w* = 1 unless said otherwise. Lines: slope 1 / growth.",
      "1 / start", "time"};
  figure.y_scale = Scale::linear;
  std::vector<double> slopes;
  for (std::size_t task = 0; task < n_tasks; ++task) {
    std::vector<double> x, y, inverse;
    table.rows.push_back(
        {std::to_string(tasks[task].length), shortest(tasks[task].a), shortest(tasks[task].w_star)});
    for (std::size_t k = 0; k < n_starts; ++k) {
      const Times& of = times[task * n_starts + k];
      x.push_back(-std::log(starts[k]));
      inverse.push_back(1.0 / starts[k]);
      y.push_back(of.escape);
      table.rows.back().push_back(rounded(of.escape, 4));
      file.rows.push_back({std::to_string(tasks[task].length), shortest(tasks[task].a),
                           shortest(tasks[task].w_star), shortest(starts[k]), shortest(of.escape),
                           shortest(of.four_gram)});
    }
    const Line line = fit_line(x, y);
    slopes.push_back(line.slope);
    double residual = 0.0;
    for (std::size_t k = 0; k < n_starts; ++k)
      residual = larger(residual, std::fabs(y[k] - line.slope * x[k] - line.intercept) / y.back());
    const auto [length, a, w_star] = tasks[task];
    const std::string name = fmt::format("L = {}, a = {:g}, w* = {:g}", length, a, w_star);
    result.checks.push_back({name + ": escape time by log of 1 / start, times the growth of w at rest", "1",
                             line.slope * growth[task], 0.95, 1.05});
    if (task == 0)
      result.checks.push_back({name + ": growth of time from 1e-3 to 1e-4 over that from 1e-2 to 1e-3",
                               "1, linear in the logarithm", (y[2] - y[1]) / (y[1] - y[0]), 0.95, 1.05});
    table.rows.back().insert(
        table.rows.back().end(),
        {rounded(line.slope, 4), rounded(1.0 / growth[task], 4),
         rounded(static_cast<double>(length) * (1.0 + a) * (1.0 + a) / (2.0 * w_star * w_star), 4)});
    figure.series.push_back({name, inverse, y});
    Series guide{task == 0 ? "law" : "", {inverse.front(), inverse.back()}, {}};
    guide.y = {y.front(), y.front() + (x.back() - x.front()) / growth[task]};
    guide.is_guide = true;
    figure.series.push_back(guide);
  }
  // (1 + a)^2: 4 over 2.25, up to what the plateau of v_2 is off 1 / (1 + a)
  result.checks.push_back(
      {"a = 1 over a = 0.5: slopes", "(2 / 1.5)^2 = 1.78", slopes[0] / slopes[2], 1.69, 1.87});
  result.checks.push_back(
      {"L = 40 over L = 20: slopes", "above 1; 38 / 18 for small w*", slopes[1] / slopes[0], 1.5, 2.2});
  result.checks.push_back(
      {"w* = 0.5 over w* = 1: slopes", "above 1; 4 for small w*", slopes[3] / slopes[0], 2.0, 4.0});

  double first = times[0].four_gram, last = first;
  for (std::size_t k = 1; k < n_starts; ++k) {
    first = smaller(first, times[k].four_gram);
    last = larger(last, times[k].four_gram);
  }
  result.checks.push_back(
      {"time until the 4-gram is learned, largest over least of the starts", "1", last / first, 1.0, 1.05});
  const std::vector<double>& t = course.t;
  result.checks.push_back({"exponent of the loss of the 4-gram, 200..2000", "-1",
                           fitted_exponent(t, course.four_gram, 200.0, 2000.0), -1.1, -0.9});
  // The next term of L_G4 = 1 / (4 t) is smaller by p / e^p or so: 4 / 45 at t = 2000
  result.checks.push_back({"loss of the 4-gram at t = 2000, times t", "0.25",
                           value_at(t, course.four_gram, 2000.0) * 2000.0, 0.25 * (1.0 - 0.09),
                           0.25 * (1.0 + 0.09)});
  result.checks.push_back(
      {"p from t = 200 to 2000, by log t", "0.5",
       (value_at(t, course.position, 2000.0) - value_at(t, course.position, 200.0)) / std::log(10.0), 0.45,
       0.55});
  result.checks.push_back(
      {"loss of the induction head at t = 1000 over that at t = 200", "0: found in between",
       value_at(t, course.induction, 1000.0) / value_at(t, course.induction, 200.0), 0.0, 0.02});
  result.tables.push_back(table);
  result.figures.push_back(figure);
  Figure losses{"loss", "The 4-gram is learned first, the induction head after a wait",
                "Half the mean square of what each head misses of its part of the target; start 1e-3.",
                "time", "loss"};
  losses.series = {{"4-gram", t, course.four_gram}, {"induction head", t, course.induction}};
  Series guide{"$1 / (4 t)$", {100.0, 2500.0}, {0.0025, 0.0001}};
  guide.is_guide = true;
  losses.series.push_back(guide);
  result.figures.push_back(losses);
  result.data.push_back(file);
  DataFile curves{"curves.csv", {"time", "four_gram", "induction", "p", "w_squared"}, {}};
  for (std::size_t k = 0; k < t.size(); ++k)
    curves.rows.push_back({shortest(t[k]), shortest(course.four_gram[k]), shortest(course.induction[k]),
                           shortest(course.position[k]), shortest(course.match[k])});
  result.data.push_back(curves);
  return result;
}

}  // namespace

const Entry induction_entry = {
    "induction",
    "An induction head after a 4-gram: the wait grows with log of 1 / start",
    "The second layer of a transformer in four numbers, on a target that mixes a 4-gram with an in-context "
    "2-gram (Wang, "
    "Yu, E, Wu, arXiv 2410.11474): the 4-gram is learned at once, the induction head after a time linear in "
    "the logarithm "
    "of the start, as w * w grows from near 0; the loss of the 4-gram falls like 1 / (4 t). The rate of "
    "growth on the "
    "samples, 1/4 and p = (log t) / 2 are derived here.",
    "one factor in place of the product w * w, no 4-gram in the target, w = 0 at the start",
    run,
    "arXiv 2410.11474",
    "escape time linear in log of 1 / start and growing with L, (1 + a)^2, w*^-2; loss of the 4-gram of "
    "order 1 / t",
    "holds; the growth on the samples and the constants of the 4-gram are ours; layer 1 stands"};

}  // namespace softstep::program::reproduce
