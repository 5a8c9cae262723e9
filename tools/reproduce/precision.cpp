// Where float32, float64 and the textbook formula part.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "interrupt.h"
#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/textbook.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::int64_t n_steps = 30000, n_textbook_steps = 10000, early = 1000;

/// A trajectory at some of its steps.
struct Curve {
  std::vector<double> steps;
  std::vector<double> distance;  ///< 1 - cos(W, W_mm)
  std::vector<double> error;     ///< 1 - cos of the gradient that was computed to the true one, both at W
  double moved = 0.0;            ///< norm of the change of W after `early` steps, over that of W
};

// Where W is looked at: 20 steps to a factor of ten, all while they are few.
std::vector<std::int64_t> looked_at(std::int64_t last) {
  std::vector<std::int64_t> steps;
  for (int k = 0; steps.empty() || steps.back() < last; ++k) {
    const std::int64_t step = std::min<std::int64_t>(last, std::llround(std::pow(10.0, k / 20.0)));
    if (steps.empty() || step > steps.back()) steps.push_back(step);
  }
  return steps;
}

// The step to which a curve is within 10 % of another (NaN is not), from the start.
double agrees_to(const Curve& curve, const Curve& truth) {
  double agreed = 0.0;
  for (std::size_t k = 0; k < curve.steps.size(); ++k) {
    const double expected = value_at(truth.steps, truth.distance, curve.steps[k]);
    if (!(std::fabs(curve.distance[k] / expected - 1.0) <= 0.1)) break;
    agreed = curve.steps[k];
  }
  return agreed;
}

/// Looks at W and the gradient there, beside that of softstep in float64 on the same data.
template <class T>
class Observer {
 public:
  Observer(const Dataset<T>& data, const std::vector<double>& limit)
      : data_(convert<double>(data)), model_(data_.view()), limit_(limit) {}
  void look(std::int64_t step, const std::vector<T>& w, const std::vector<T>& gradient) {
    const std::vector<double> weights(w.begin(), w.end());
    curve_.steps.push_back(static_cast<double>(step));
    curve_.distance.push_back(compare_direction(w, limit_).one_minus_cos);
    model_.evaluate(std::span<const double>(weights), truth_, want_gradient);
    curve_.error.push_back(compare_direction(gradient, truth_.gradients[0].values).one_minus_cos);
    if (step <= early) early_ = weights;
    std::vector<double> change = weights;
    for (std::size_t k = 0; k < change.size(); ++k) change[k] -= early_[k];
    curve_.moved = frobenius_norm(change) / frobenius_norm(weights);
  }
  Curve curve() const { return curve_; }

 private:
  Dataset<double> data_;
  AttentionModel<double> model_;
  Evaluation<double> truth_;
  const std::vector<double>& limit_;
  std::vector<double> early_;
  Curve curve_;
};

template <class T>
Curve ours(const Dataset<double>& data, const std::vector<double>& limit, const char* rule) {
  const Dataset<T> own = convert<T>(data);
  AttentionModel<T> model(own.view());
  Evaluation<T> now;
  TrainState<T> state = initial_state(model);
  TrainerOptions options;
  options.rules = {parse_rule(rule)};
  options.form = Form::dense;
  options.trace_rows_per_decade = 0;
  Observer<T> observer(own, limit);
  for (const std::int64_t step : looked_at(n_steps)) {
    if (interrupted()) break;
    options.n_steps = step - state.step;
    train(model, state, options);
    model.evaluate(state.blocks, now, want_gradient);
    observer.look(step, state.blocks[0], now.gradients[0].values);
  }
  return observer.curve();
}

template <class T>
Curve textbook(const Dataset<double>& data, const std::vector<double>& limit, bool polyak) {
  const Dataset<T> own = convert<T>(data);
  const BatchView<T>& batch = own.view();
  T optimal = T(0);
  for (const double gamma : score_tokens(batch).optimal_score)
    optimal += std::log1p(std::exp(-static_cast<T>(gamma))) / static_cast<T>(batch.n_samples);
  std::vector<T> w(batch.dim * batch.dim, T(0));
  Observer<T> observer(own, limit);
  TextbookGradient<T> now = textbook_gradient(batch, w);
  std::int64_t t = 0;
  for (const std::int64_t step : looked_at(n_textbook_steps)) {
    for (; t < step && !interrupted(); ++t) {
      const T length = polyak ? (now.loss - optimal) / (T(2) * now.norm * now.norm) : T(1) / now.norm;
      for (std::size_t k = 0; k < w.size(); ++k) w[k] -= length * now.gradient[k];
      now = textbook_gradient(batch, w);
    }
    observer.look(step, w, now.gradient);
  }
  return observer.curve();
}

struct Rule {
  const char* name;
  Curve wide, narrow, textbook_wide, textbook_narrow;
};

void add_checks(const Rule& rule, Result& result) {
  const auto add = [&](const std::string& law, const char* expected, double measured, double lowest,
                       double highest) {
    result.checks.push_back({fmt::format("{}: {}", rule.name, law), expected, measured, lowest, highest});
  };
  // Rounding W costs a step of length l up to 2^-24 norm(W) / l of itself: 2e-3 at the end, where the angle
  // to W_mm is 3e-4; rounding errors of changing sign leave a tenth of that.
  add("step to which float32 is within 10 % of float64", "3e4, the last", agrees_to(rule.narrow, rule.wide),
      static_cast<double>(n_steps), static_cast<double>(n_steps));
  add("the same, textbook form in float32", "below 100", agrees_to(rule.textbook_narrow, rule.wide), 1.0,
      100.0);
  add("the same, textbook form in float64", "below 1000", agrees_to(rule.textbook_wide, rule.wide), 1.0,
      1000.0);
  // The angle of the gradient is within K u (1 + S), K = d + T = 66, S <= norm(W) = 4.5e4: 0.18; 1 - cos is
  // half its square.
  double worst = 0.0;
  for (const double error : rule.narrow.error) worst = std::isnan(error) ? error : std::max(worst, error);
  add("float32, 1 - cos of the gradient to the true one at the same W, largest", "at most 0.016", worst, 0.0,
      0.016);
  if (std::string(rule.name) == "ngd") {
    // After it has parted, before it is NaN. Beyond 60 degrees.
    const auto error_at = [](const Curve& curve, double step) {
      return value_at(curve.steps, curve.error, step);
    };
    add("textbook in float32, the same at step 200", "wrong direction", error_at(rule.textbook_narrow, 200.0),
        0.5, 2.0);
    add("textbook in float64, the same at step 300", "wrong direction", error_at(rule.textbook_wide, 300.0),
        0.5, 2.0);
  } else {
    const std::string law = ", change of W after 1000 steps over W";
    add("textbook in float32" + law, "0: it stands still", rule.textbook_narrow.moved, 0.0, 0.0);
    add("textbook in float64" + law, "0: it stands still", rule.textbook_wide.moved, 0.0, 0.0);
  }
}

void add_rows(const Rule& rule, Table& table, DataFile& file) {
  const std::pair<const char*, const Curve*> curves[] = {{"f32", &rule.narrow},
                                                         {"f64", &rule.wide},
                                                         {"textbook f32", &rule.textbook_narrow},
                                                         {"textbook f64", &rule.textbook_wide}};
  for (const double t : {10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 1e4, 3e4}) {
    table.rows.push_back({rule.name, rounded(t, 6)});
    for (const auto& [form, curve] : curves)
      table.rows.back().push_back(rounded(value_at(curve->steps, curve->distance, t), 2));
  }
  for (const auto& [form, curve] : curves)
    for (std::size_t k = 0; k < curve->steps.size(); ++k)
      file.rows.push_back({rule.name, form, shortest(curve->steps[k]), shortest(curve->distance[k]),
                           shortest(curve->error[k])});
}

Figure figure_of(const Rule& rule, const char* what, const std::string& title, const char* label,
                 std::vector<double> Curve::*column) {
  Figure figure{fmt::format("{}_{}", what, rule.name), fmt::format("{}: {}", title, rule.name),
                "signal_noise, n = 10, T = 6, d = 60. A curve ends where it is not a number.", "step", label};
  for (const auto& [form, curve] :
       {std::pair{"softstep, float64", &rule.wide}, std::pair{"softstep, float32", &rule.narrow},
        std::pair{"textbook, float64", &rule.textbook_wide},
        std::pair{"textbook, float32", &rule.textbook_narrow}})
    figure.series.push_back({form, curve->steps, curve->*column});
  return figure;
}

Result run(const Context& context) {
  const Dataset<double> data = generate(GeneratorOptions{});
  const std::vector<double> limit = max_margin_direction(data.view());
  Rule rules[] = {{"ngd", {}, {}, {}, {}}, {"polyak", {}, {}, {}, {}}};
  parallel_for(2, context.n_threads, [&](std::size_t k) {
    Rule& rule = rules[k];
    const bool polyak = k == 1;
    rule.wide = ours<double>(data, limit, rule.name);
    rule.narrow = ours<float>(data, limit, rule.name);
    rule.textbook_wide = textbook<double>(data, limit, polyak);
    rule.textbook_narrow = textbook<float>(data, limit, polyak);
    // Broken: the textbook in place of our float32, and what never parts in place of the textbook.
    if (context.broken) {
      std::swap(rule.narrow, rule.textbook_narrow);
      rule.textbook_wide = rule.wide;
    }
  });
  Result result;
  result.configuration = {{"generator", "signal_noise"},
                          {"samples", 10},
                          {"tokens", 6},
                          {"dim", 60},
                          {"seed", 0},
                          {"steps", n_steps},
                          {"textbook_steps", n_textbook_steps}};
  if (interrupted()) return result;
  Table table{"1 - cos(W, W_mm)", {"rule", "step", "f32", "f64", "textbook f32", "textbook f64"}, {}};
  DataFile file{
      "curves.csv", {"rule", "form", "step", "one_minus_cos", "gradient_one_minus_cos_to_true"}, {}};
  for (const Rule& rule : rules) {
    add_checks(rule, result);
    add_rows(rule, table, file);
    result.figures.push_back(figure_of(rule, "one_minus_cos", "Where the textbook formula parts",
                                       "$1 - \\cos(W_t, W_{\\mathrm{mm}})$", &Curve::distance));
    Figure errors = figure_of(rule, "gradient_error", "Error of the gradient's direction",
                              "$1 - \\cos(G_{\\mathrm{computed}}, G)$ at the same $W_t$", &Curve::error);
    errors.series.erase(errors.series.begin());  // compared with itself
    result.figures.push_back(errors);
  }
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry precision_entry = {"precision",
                               "Where float32, float64 and the textbook formula part",
                               "The pivot form with its exponent beside the mantissa, in both precisions, "
                               "and the formula p (gamma - m) that automatic "
                               "differentiation and published code compute.",
                               "the textbook form in place of softstep's float32, and the other way round",
                               run,
                               "softstep",
                               "where float32, float64 and the textbook part",
                               "ours"};

}  // namespace softstep::program::reproduce
