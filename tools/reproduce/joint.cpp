// Joint normalised gradient descent of W and u.

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "parallel.h"
#include "points.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr int n_seeds = 3;
constexpr double n_steps = 1e5, n_long_steps = 1e6;

// Steps of W; those of u are eta (t+1)^(-2/3) in all runs. The law supposes an attention that is saturated:
// with 1/t it is not yet within the steps looked at, so that its figures are shown beside the others' and not
// judged.
struct Schedule {
  const char *name, *text, *label;
  bool judged;
};
const Schedule schedules[] = {
    {"5/t", "ngd:step-size=5,schedule-power=1", "$\\eta_W = 5/t$", true},
    {"t^-2/3", "ngd:step-size=1,schedule-power=0.6666666666666666", "$\\eta_W = t^{-2/3}$", true},
    {"1/t", "ngd:step-size=1,schedule-power=1", "$\\eta_W = 1/t$", false}};
constexpr std::size_t n_schedules = std::size(schedules);

// The last run is the first seed for ten times as many steps.
constexpr std::size_t n_runs = n_schedules * n_seeds + 1;

Trace train_jointly(const BatchView<double>& batch, const BatchView<double>& limits_of, const char* rule,
                    double steps, bool broken) {
  AttentionOptions options;
  options.train_decoder = true;
  options.optimal_loss = OptimalLoss::zero;
  const auto model = make_attention_model(batch, options);
  TrainerOptions trainer;
  trainer.rules = {parse_rule(broken ? "gd" : rule), parse_rule(broken ? "gd" : schedules[1].text)};
  trainer.n_steps = std::llround(steps);
  trainer.references = {max_margin_direction(limits_of),
                        solve_points(limits_of, score_tokens(limits_of).optimal).weights};
  TrainState<double> state = normal_state(*model, 0.0, 0);
  return run_model(*model, state, trainer);
}

double minus_log_loss(const TraceRecord& row) { return -row.log10_loss; }
double decoder_norm(const TraceRecord& row) { return row.others.empty() ? 0.0 : row.others[0].norm; }
double decoder_distance(const TraceRecord& row) {
  return row.others.empty() ? 1.0 : row.others[0].one_minus_cos;
}
double distance(const TraceRecord& row) { return row.one_minus_cos; }
double attention(const TraceRecord& row) { return row.min_optimal_attention; }
double loss_exponent(const Trace& trace) {
  return fitted_exponent(trace.steps(), trace.column(minus_log_loss), 1e3, n_steps);
}

template <class F>
double median_of(const std::vector<Trace>& traces, std::size_t schedule, F f) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < n_seeds; ++seed) values.push_back(f(traces[schedule * n_seeds + seed]));
  return median(values);
}

Series series(const std::vector<Trace>& traces, std::size_t schedule, double (*column)(const TraceRecord&)) {
  Series out;
  out.label = schedules[schedule].label;
  out.x = traces[schedule * n_seeds].steps();
  for (std::size_t k = 0; k < out.x.size(); ++k)
    out.y.push_back(median_of(traces, schedule, [&](const Trace& trace) { return trace.column(column)[k]; }));
  return out;
}

void add_figures(const std::vector<Trace>& traces, Result& result) {
  const auto add = [&](const char* file, const char* title, const char* label,
                       double (*column)(const TraceRecord&), double guide, const char* guide_label) {
    Figure figure{file, title, "Median of 3 data sets signal_noise, n = 10, T = 6, d = 60; logistic loss.",
                  "step", label};
    for (std::size_t k = 0; k < n_schedules; ++k) figure.series.push_back(series(traces, k, column));
    if (guide != 0.0) {
      Series line{guide_label, {1e2, n_steps}, {}};
      const double start = value_at(figure.series[1].x, figure.series[1].y, 1e3);
      for (const double t : line.x) line.y.push_back(0.7 * start * std::pow(t / 1e3, guide));
      line.is_guide = true;
      figure.series.push_back(line);
    }
    result.figures.push_back(figure);
  };
  add("loss", "Joint training: the loss", "$-\\log_{10} L$", minus_log_loss, 1.0 / 3.0, "$\\propto t^{1/3}$");
  add("decoder_norm", "Joint training: norm of the decoder", "$\\Vert u_t \\Vert$", decoder_norm, 1.0 / 3.0,
      "$\\propto t^{1/3}$");
  add("decoder_direction", "Joint training: direction of the decoder", "$1 - \\cos(u_t, u_{\\mathrm{mm}})$",
      decoder_distance, 0.0, "");
  add("weight_direction", "Joint training: direction of the weights", "$1 - \\cos(W_t, W_{\\mathrm{mm}})$",
      distance, 0.0, "");
}

void add_distances(const std::vector<Trace>& traces, std::size_t schedule, const std::string& label,
                   Table& table) {
  for (const auto& [what, column] :
       {std::pair{"u to u_mm", &decoder_distance}, std::pair{"W to W_mm", &distance}}) {
    table.rows.push_back({label, what});
    for (const double t : {1e2, 1e3, 1e4, 1e5})
      table.rows.back().push_back(rounded(median_of(traces, schedule,
                                                    [&, by = column](const Trace& trace) {
                                                      return value_at(trace.steps(), trace.column(by), t);
                                                    }),
                                          3));
  }
}

Result run(const Context& context) {
  std::vector<Dataset<double>> data;
  for (std::uint64_t seed = 0; seed < n_seeds; ++seed) {
    GeneratorOptions generator;
    generator.seed = seed;
    data.push_back(generate(generator));
  }
  std::vector<Trace> traces(n_runs);
  // The longest first.
  parallel_for(n_runs, context.n_threads, [&](std::size_t k) {
    const std::size_t run = n_runs - 1 - k, seed = run % n_seeds;
    const bool is_long = run == n_runs - 1;
    traces[run] = train_jointly(data[is_long ? 0 : seed].view(),
                                data[context.broken ? (seed + 1) % n_seeds
                                     : is_long      ? 0
                                                    : seed]
                                    .view(),
                                schedules[is_long ? 1 : run / n_seeds].text, is_long ? n_long_steps : n_steps,
                                context.broken);
  });
  Result result;
  result.configuration = {{"generator", "signal_noise"},
                          {"samples", 10},
                          {"tokens", 6},
                          {"dim", 60},
                          {"seeds", n_seeds},
                          {"steps", n_steps}};
  if (interrupted_run(traces)) return result;
  Table table{"1 - cos to the limits (medians)", {"steps of W", "what", "1e2", "1e3", "1e4", "1e5"}, {}};
  Table law{"Exponent of -log L over 1e3..1e5, and whether attention is saturated there (medians)",
            {"steps of W", "exponent", "least optimal attention at 1e3", "at 1e5"},
            {}};
  for (std::size_t k = 0; k < n_schedules; ++k) {
    const std::string label = std::string("eta_W = ") + schedules[k].name;
    const double exponent = median_of(traces, k, loss_exponent);
    law.rows.push_back({label, rounded(exponent, 3)});
    for (const double t : {1e3, n_steps})
      law.rows.back().push_back(rounded(
          median_of(traces, k,
                    [&](const Trace& trace) { return value_at(trace.steps(), trace.column(attention), t); }),
          4));
    add_distances(traces, k, label, table);
    if (!schedules[k].judged) continue;
    result.checks.push_back({fmt::format("{}: exponent of -log L over 1e3..1e5", label), "1/3", exponent,
                             1.0 / 3.0 - 0.03, 1.0 / 3.0 + 0.03});
    result.checks.push_back({fmt::format("{}: norm(u) / (3 eta t^(1/3))", label), "1",
                             median_of(traces, k,
                                       [](const Trace& trace) {
                                         return decoder_norm(trace.last()) / (3.0 * std::cbrt(n_steps));
                                       }),
                             0.95, 1.05});
    result.checks.push_back({fmt::format("{}: 1 - cos(u, u_mm) at 1e5 steps over that at 1e3", label),
                             "goes to 0",
                             median_of(traces, k,
                                       [](const Trace& trace) {
                                         return decoder_distance(trace.last()) /
                                                value_at(trace.steps(), trace.column(decoder_distance), 1e3);
                                       }),
                             0.0, 0.2});
  }
  result.checks.push_back({"eta_W = t^-2/3: 1 - cos(W, W_mm) at 1e5 steps over that at 1e3", "goes to 0",
                           median_of(traces, 1,
                                     [](const Trace& trace) {
                                       return distance(trace.last()) /
                                              value_at(trace.steps(), trace.column(distance), 1e3);
                                     }),
                           0.0, 0.2});
  const Trace& longest = traces.back();
  result.checks.push_back(
      {"-log L at 1e6 steps over that at 1e5, finite to the end", "10^(1/3) = 2.154",
       minus_log_loss(longest.last()) / value_at(longest.steps(), longest.column(minus_log_loss), n_steps),
       2.0, 2.3});
  add_figures(traces, result);
  DataFile file{"trace.csv", {}, {}};
  for (std::size_t k = 0; k + 1 < n_runs; ++k)
    add_trace_rows(file, schedules[k / n_seeds].name, k % n_seeds, traces[k]);
  add_trace_rows(file, "t^-2/3, 1e6 steps", 0, longest);
  result.tables.push_back(law);
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry joint_entry = {"joint",
                           "Joint training of W and u",
                           "Each normalised by its own gradient: the loss falls like exp(-c t^(1/3)), u goes "
                           "to u_mm and W to W_mm (arXiv 2402.05738, "
                           "section 5).",
                           "plain gradient descent, and the limits of other data",
                           run,
                           "arXiv 2402.05738",
                           "joint training of W and u: loss exp(-c t^(1/3))",
                           "holds"};

}  // namespace softstep::program::reproduce
