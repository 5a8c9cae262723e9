// Next-token prediction in linear models: the finite part and the one that diverges along NTP-SVM.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/worst.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 3;
constexpr std::int64_t n_steps = 20000;

double distance(const TraceRecord& row) { return row.one_minus_cos; }

std::vector<std::vector<std::size_t>> supports_of(const NextTokenData& data) {
  std::vector<std::vector<std::size_t>> supports;
  for (std::size_t j = 0; j < data.n_contexts(); ++j)
    supports.emplace_back(data.tokens.begin() + static_cast<std::ptrdiff_t>(data.first[j]),
                          data.tokens.begin() + static_cast<std::ptrdiff_t>(data.first[j + 1]));
  return supports;
}

// Largest deviation of a logit difference within a support from the log-odds, in W_F.
double worst_odds(const NextTokenData& data, const std::vector<double>& w) {
  double worst = 0.0;
  const auto logit = [&](std::size_t context, std::size_t token) {
    double sum = 0.0;
    for (std::size_t c = 0; c < data.dim; ++c)
      sum += w[token * data.dim + c] * data.contexts[context * data.dim + c];
    return sum;
  };
  for (std::size_t j = 0; j < data.n_contexts(); ++j)
    for (std::size_t k = data.first[j] + 1; k < data.first[j + 1]; ++k) {
      const std::size_t first = data.first[j];
      const double odds = std::log(data.labels[k] / data.labels[first]);
      worst = larger(worst, std::fabs(logit(j, data.tokens[k]) - logit(j, data.tokens[first]) - odds));
    }
  return worst;
}

Result run(const Context& context) {
  std::vector<Trace> traces(n_seeds);
  std::vector<double> odds(n_seeds);
  parallel_for(n_seeds, context.n_threads, [&](std::size_t seed) {
    const NextTokenData data = next_token_example(6, 8, 10, 3, seed + 1);
    // Broken: the direction of other contexts.
    const NextTokenData of = context.broken ? next_token_example(6, 8, 10, 3, seed + 2) : data;
    const TiedMaxMarginResult limit =
        solve_next_token_max_margin(of.contexts, of.dim, of.vocabulary, supports_of(of));
    const auto model = make_next_token_model<double>(data);
    TrainState<double> state = initial_state<double>(*model, next_token_blocks(data));
    TrainerOptions trainer;
    trainer.rules =
        parse_rules(context.broken ? "ngd:step-size=1;gd:step-size=8" : "gd:step-size=8;ngd:step-size=1");
    trainer.n_steps = n_steps;
    trainer.references = {limit.solution.weights};
    traces[seed] = run_model(*model, state, trainer);
    odds[seed] = worst_odds(data, observe(*model, state, 1));
  });
  Result result;
  result.configuration = {{"contexts", 6}, {"vocabulary", 8},  {"dim", 10},
                          {"support", 3},  {"seeds", n_seeds}, {"steps", n_steps}};
  if (interrupted_run(traces)) return result;
  const auto median_of = [&](auto f) {
    std::vector<double> values;
    for (const Trace& trace : traces) values.push_back(f(trace));
    return median(values);
  };
  result.checks.push_back({"finite part: largest deviation from the log-odds of a support", "0 to rounding",
                           largest_of(odds), 0.0, 1e-12});
  result.checks.push_back({"norm of the diverging part / (eta t)", "1",
                           median_of([](const Trace& trace) { return trace.last().weight_norm / n_steps; }),
                           0.99, 1.01});
  result.checks.push_back({"exponent of 1 - cos to NTP-SVM", "-2", median_of([](const Trace& trace) {
                             return fitted_exponent(trace.steps(), trace.column(distance), 1e3, n_steps);
                           }),
                           -2.1, -1.9});
  result.checks.push_back({"exponent of -log(CE - H)", "1", median_of([](const Trace& trace) {
                             return fitted_exponent(trace.steps(), trace.column([](const TraceRecord& row) {
                               return -row.log10_gap;
                             }),
                                                    2e3, n_steps);
                           }),
                           0.95, 1.05});
  Figure gap{"gap", "Cross entropy above its infimum",
             "Three sets of 6 contexts, vocabulary 8, d = 10. Vertical axis: logarithm of the exponent. "
             "A curve drops where its finite part, below float64, counts as zero.",
             "step", "$\\mathrm{CE} - H$"};
  gap.y_scale = Scale::tower;
  Figure direction{"one_minus_cos", "Next-token prediction: distance from NTP-SVM",
                   "Three sets of 6 contexts, vocabulary 8, d = 10.", "step",
                   "$1 - \\cos(W_t, W_{\\mathrm{mm}})$"};
  DataFile file{"trace.csv", {}, {}};
  for (std::size_t seed = 0; seed < n_seeds; ++seed) {
    const std::string label = fmt::format("data set {}", seed + 1);
    const Trace& trace = traces[seed];
    gap.series.push_back(
        {label, trace.steps(), trace.column([](const TraceRecord& row) { return row.log10_gap; })});
    direction.series.push_back({label, trace.steps(), trace.column(distance)});
    add_trace_rows(file, label, seed + 1, trace);
  }
  result.figures = {gap, direction};
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry ntp_entry = {"ntp",
                         "Next-token prediction in linear models",
                         "The part of W within the supports reaches their log-odds, the rest diverges along "
                         "NTP-SVM, and CE - H falls exponentially under "
                         "normalised steps (Thrampoulidis 2024).",
                         "the rules of the two parts exchanged, and the direction of other contexts",
                         run,
                         "arXiv 2402.18551",
                         "log-odds, NTP-SVM, CE - H",
                         "holds; not at the paper's sizes"};

}  // namespace softstep::program::reproduce
