// Softmax classification with several classes: sign, normalised and spectral descent, with and without
// momentum, each to the largest margin in its own norm.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "parallel.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_classes = 10, dim = 25, per_class = 50;
constexpr double noise = 0.1;
constexpr std::int64_t n_steps = 10000, reference_steps = 30000;
constexpr int rows_per_decade = 100;

constexpr MatrixNorm norms[] = {MatrixNorm::max, MatrixNorm::frobenius, MatrixNorm::spectral};
constexpr std::size_t n_norms = std::size(norms);

// A rule, the rule of another norm that a broken system has in its place, its own norm (the number of a
// column) and the least share of the largest margin that it must reach.
struct Rule {
  const char *label, *text, *broken;
  std::size_t own;
  double least_share, most_share = 1.0 + 1e-11;  // margin and bound are sums of some thousand terms in double
};
constexpr const char* sign_text = "sign:step-size=0.1,schedule-power=0.5";
constexpr const char* ngd_text = "ngd:step-size=0.1,schedule-power=0.5";
constexpr const char* spectral_text = "spectral:step-size=0.05,schedule-power=0.5";
constexpr const char* signum_text = "signum:step-size=0.1,schedule-power=0.5";
constexpr const char* nmd_text = "nmd:step-size=0.1,schedule-power=0.5";
constexpr const char* exact_text = "muon_exact:step-size=0.05,schedule-power=0.5";
constexpr const char* adam_text = "adam:step-size=0.01,schedule-power=0.5,beta2=0.99";
constexpr const char* muon_text = "muon:step-size=0.05,schedule-power=0.5";
constexpr Rule rules[] = {{"sign", sign_text, ngd_text, 0, 0.95},
                          {"ngd", ngd_text, spectral_text, 1, 0.95},
                          {"spectral", spectral_text, sign_text, 2, 0.95},
                          {"signum", signum_text, nmd_text, 0, 0.95},
                          {"nmd", nmd_text, exact_text, 1, 0.95},
                          {"muon, exact", exact_text, signum_text, 2, 0.95},
                          {"adam", adam_text, nmd_text, 0, 0.85},
                          {"muon, Newton-Schulz", muon_text, signum_text, 2, 0.85, 0.95}};
constexpr std::size_t n_rules = std::size(rules), spectral = 2, exact = 5, adam = 6, newton_schulz = 7;
// They do nothing but bound margins from above: small steps in each norm, to large W.
constexpr const char* references[] = {"sign:step-size=0.02,schedule-power=0.5", "ngd:step-size=1",
                                      "spectral:step-size=0.1,schedule-power=0.5"};

struct Outcome {
  std::vector<double> steps, own_margin;  // by row of the trace
  std::vector<double> weights;
  double margin[n_norms] = {}, bound[n_norms] = {};
};

Outcome trained(const MulticlassData& data, const char* rule, std::int64_t steps, std::size_t own) {
  Outcome out;
  const auto model = make_multiclass_model<double>(data);
  TrainState<double> state = initial_state(*model);
  // Averages over the last tenfold of steps and over the last threefold: whichever bounds better.
  MarginCertificate longer(n_classes, dim), shorter(n_classes, dim);
  TrainerOptions trainer;
  trainer.rules = {parse_rule(rule)};
  trainer.n_steps = steps;
  trainer.trace_rows_per_decade = rows_per_decade;
  trainer.trace = [&](const TraceRecord& row) {
    const std::span<const double> w(state.blocks[0]);
    if (row.step >= steps / 10) add_multiclass_gradient(longer, data, w);
    if (row.step >= steps / 3) add_multiclass_gradient(shorter, data, w);
    if (row.step == 0) return true;
    out.steps.push_back(static_cast<double>(row.step));
    out.own_margin.push_back(multiclass_margin(data, w, norms[own]));
    return true;
  };
  run_model(*model, state, trainer);
  out.weights = state.blocks[0];
  for (std::size_t norm = 0; norm < n_norms; ++norm) {
    out.margin[norm] = multiclass_margin(data, out.weights, norms[norm]);
    out.bound[norm] = std::fmin(longer.bound(norms[norm]), shorter.bound(norms[norm]));
  }
  return out;
}

Result run(const Context& context) {
  const MulticlassData data = class_clouds(n_classes, dim, per_class, noise, 0);
  std::vector<Outcome> outcomes(n_rules + std::size(references));
  // The long ones first.
  parallel_for(outcomes.size(), context.n_threads, [&](std::size_t k) {
    const std::size_t at = outcomes.size() - 1 - k;
    outcomes[at] = at < n_rules ? trained(data, context.broken ? rules[at].broken : rules[at].text, n_steps,
                                          rules[at].own)
                                : trained(data, references[at - n_rules], reference_steps, at - n_rules);
  });
  double bound[n_norms];
  for (std::size_t norm = 0; norm < n_norms; ++norm) {
    bound[norm] = std::numeric_limits<double>::infinity();
    for (const Outcome& outcome : outcomes) bound[norm] = std::fmin(bound[norm], outcome.bound[norm]);
  }
  const auto share = [&](std::size_t rule, std::size_t norm) {
    return outcomes[rule].margin[norm] / bound[norm];
  };

  Result result;
  result.configuration = {{"classes", n_classes},
                          {"dim", dim},
                          {"points_per_class", per_class},
                          {"noise", noise},
                          {"seed", 0},
                          {"steps", n_steps},
                          {"reference_steps", reference_steps}};
  Table table{"Margin over a certified bound on the largest one", {"rule"}, {}};
  DataFile file{"margins.csv", {"rule", "norm", "margin", "bound"}, {}};
  for (const MatrixNorm norm : norms) table.columns.emplace_back(to_string(norm));
  for (std::size_t rule = 0; rule < n_rules; ++rule) {
    table.rows.push_back({rules[rule].label});
    for (std::size_t norm = 0; norm < n_norms; ++norm) {
      table.rows.back().push_back(rounded(share(rule, norm), 4));
      file.rows.push_back({rules[rule].label, to_string(norms[norm]), shortest(outcomes[rule].margin[norm]),
                           shortest(bound[norm])});
    }
  }
  result.tables.push_back(table);
  result.data.push_back(file);

  for (std::size_t rule = 0; rule < n_rules; ++rule)
    result.checks.push_back({fmt::format("{}: certified share of the largest {} margin", rules[rule].label,
                                         to_string(norms[rules[rule].own])),
                             rule == newton_schulz ? "stays below" : "1 in the limit",
                             share(rule, rules[rule].own), rules[rule].least_share, rules[rule].most_share});
  for (std::size_t rule = 0; rule < n_norms; ++rule) {
    double best = 0.0;
    for (std::size_t other = 0; other < n_norms; ++other)
      if (other != rule) best = std::fmax(best, outcomes[other].margin[rule]);
    result.checks.push_back({fmt::format("{}: {} margin over the better of the other two", rules[rule].label,
                                         to_string(norms[rule])),
                             "above 1", outcomes[rule].margin[rule] / best, 1.0,
                             std::numeric_limits<double>::infinity()});
  }
  result.checks.push_back({"muon, exact: 1 - cos to spectral", "0 in the limit",
                           compare_direction(std::span<const double>(outcomes[exact].weights),
                                             std::span<const double>(outcomes[spectral].weights))
                               .one_minus_cos,
                           0.0, 1e-3});
  // Newton-Schulz leaves singular values anywhere from 0.7 to 1.2, so that its step is no longer the
  // steepest: what is lost in the spectral margin goes to the Frobenius one.
  result.checks.push_back({"spectral margin, muon by Newton-Schulz over exact", "below 1",
                           outcomes[newton_schulz].margin[2] / outcomes[exact].margin[2], 0.9, 0.99});
  result.checks.push_back({"Frobenius margin, muon by Newton-Schulz over exact", "above 1",
                           outcomes[newton_schulz].margin[1] / outcomes[exact].margin[1], 1.05, 1.2});

  Figure plain, momentum;
  plain.file = "gap";
  plain.title = "What is missing of the largest margin in a rule's own norm";
  plain.caption = "1 - margin / certified bound. Max norm: sign, adam; Frobenius: ngd; spectral: spectral.";
  momentum.file = "gap_momentum";
  momentum.title = "The same with momentum";
  momentum.caption =
      "Max norm: signum; Frobenius: nmd; spectral: muon, which stays below with Newton-Schulz steps.";
  plain.y_label = momentum.y_label = "1 - share";
  DataFile curves{"curves.csv", {"rule", "step", "share"}, {}};
  for (std::size_t rule = 0; rule < n_rules; ++rule) {
    Series series{rules[rule].label, {}, {}};
    for (std::size_t k = 0; k < outcomes[rule].steps.size(); ++k) {
      const double part = outcomes[rule].own_margin[k] / bound[rules[rule].own];
      curves.rows.push_back({rules[rule].label, shortest(outcomes[rule].steps[k]), shortest(part)});
      series.x.push_back(outcomes[rule].steps[k]);
      series.y.push_back(1.0 - part);
    }
    (rule < n_norms || rule == adam ? plain : momentum).series.push_back(series);
  }
  result.figures = {plain, momentum};
  result.data.push_back(curves);
  return result;
}

}  // namespace

const Entry multiclass_entry = {
    "multiclass",
    "Softmax classification: each rule to the margin of its own norm",
    "10 Gaussian classes in 25 dimensions, cross entropy, steps eta / sqrt(t) (Fan, Schmidt, Thrampoulidis, "
    "arXiv "
    "2502.04664, their data and table): sign, normalised and spectral descent, signum, nmd and muon, and "
    "Adam go "
    "to the largest margin in the max, Frobenius and spectral norm. Shares are certified by gradients. What "
    "Newton-Schulz steps cost muon is measured here, and no claim of the paper.",
    "every rule is replaced by one of another norm",
    run,
    "arXiv 2502.04664",
    "sign, normalised and spectral descent to the margin of their own norm",
    "holds; rates are upper bounds and are not checked; Newton-Schulz against exact is ours"};

}  // namespace softstep::program::reproduce
