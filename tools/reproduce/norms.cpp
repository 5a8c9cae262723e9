// Each rule goes to the largest margin in its own norm.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr int n_seeds = 5;
constexpr std::int64_t n_steps = 20000;
constexpr std::size_t dim = 12;

struct Norm {
  MatrixNorm norm;
  double p;
  const char* label;
};
const Norm norms[] = {{MatrixNorm::frobenius, 2.0, "Frobenius"}, {MatrixNorm::max, 2.0, "max"},
                      {MatrixNorm::spectral, 2.0, "spectral"},   {MatrixNorm::l_p, 3.0, "l_3"},
                      {MatrixNorm::l_p, 1.75, "l_1.75"},         {MatrixNorm::nuclear, 2.0, "nuclear"}};
constexpr std::size_t n_norms = std::size(norms);

// Row k is the rule of norm k; the last trains K and Q, whose own norm is the nuclear one.
struct Rule {
  const char *text, *label;
  bool factored;
};
const Rule rules[n_norms] = {{"ngd:step-size=0.3", "ngd", false},
                             {"sign:step-size=0.03,schedule-power=0.5", "sign", false},
                             {"spectral:step-size=0.1,schedule-power=0.5", "spectral", false},
                             {"mirror:p=3,step-size=0.3", "mirror, p = 3", false},
                             {"mirror:p=1.75,step-size=0.3", "mirror, p = 1.75", false},
                             {"ngd:step-size=0.02", "ngd of K and Q", true}};

Dataset<double> data_of(std::size_t seed) {
  GeneratorOptions options;
  options.n_samples = 6;
  options.n_tokens = 5;
  options.dim = dim;
  options.seed = seed;
  return generate(options);
}

std::vector<double> trained(const Rule& rule, const BatchView<double>& batch, std::size_t seed) {
  std::vector<double> weights;
  if (!rule.factored) {
    AttentionRun run;
    run.batch = &batch;
    run.rule = parse_rule(rule.text);
    run.n_steps = n_steps;
    run.trace_rows_per_decade = 0;
    run.weights = &weights;
    run_attention(run);
    return weights;
  }
  AttentionOptions options;
  options.key_query = KeyQuery::factored;
  options.rank = dim;
  const auto model = make_attention_model(batch, options);
  // Small: the bias of K and Q towards low rank is that of leaving the origin.
  TrainState<double> state = normal_state(*model, 0.01, seed);
  TrainerOptions trainer;
  trainer.rules = {parse_rule(rule.text)};
  trainer.n_steps = n_steps;
  trainer.trace_rows_per_decade = 0;
  run_model(*model, state, trainer);
  return observe(*model, state, 0);
}

Result run(const Context& context) {
  std::vector<Dataset<double>> data;
  for (std::size_t seed = 0; seed < n_seeds; ++seed) data.push_back(data_of(seed));
  std::vector<double> margins(n_norms * n_norms * n_seeds);
  const auto margin = [&](std::size_t rule, std::size_t norm, std::size_t seed) -> double& {
    return margins[(seed * n_norms + rule) * n_norms + norm];
  };
  parallel_for(n_norms * n_seeds, context.n_threads, [&](std::size_t k) {
    const std::size_t rule = k % n_norms, seed = k / n_norms;
    const BatchView<double>& batch = data[seed].view();
    // Broken: every norm has the rule of the next one.
    const std::vector<double> w = trained(rules[context.broken ? (rule + 1) % n_norms : rule], batch, seed);
    const TokenScores scores = score_tokens(batch);
    for (std::size_t norm = 0; norm < n_norms; ++norm)
      margin(rule, norm, seed) = margin_in_norm(batch, scores, w, norms[norm].norm, norms[norm].p);
  });

  Result result;
  result.configuration = {{"generator", "signal_noise"},
                          {"samples", 6},
                          {"tokens", 5},
                          {"dim", dim},
                          {"seeds", n_seeds},
                          {"steps", n_steps}};
  Table table{"Margin in each norm over the largest of its column (medians of 5 data sets)", {"rule"}, {}};
  DataFile file{"margins.csv", {"rule", "norm", "seed", "margin"}, {}};
  for (const Norm& norm : norms) table.columns.emplace_back(norm.label);
  for (std::size_t rule = 0; rule < n_norms; ++rule) {
    table.rows.push_back({rules[rule].label});
    for (std::size_t norm = 0; norm < n_norms; ++norm) {
      std::vector<double> shares;
      for (std::size_t seed = 0; seed < n_seeds; ++seed) {
        double best = 0.0;
        for (std::size_t other = 0; other < n_norms; ++other)
          best = std::fmax(best, margin(other, norm, seed));
        shares.push_back(margin(rule, norm, seed) / best);
        file.rows.push_back(
            {rules[rule].label, norms[norm].label, std::to_string(seed), shortest(margin(rule, norm, seed))});
      }
      table.rows.back().push_back(rounded(median(shares), 4));
    }
  }
  for (std::size_t norm = 0; norm < n_norms; ++norm) {
    std::vector<double> leads;
    for (std::size_t seed = 0; seed < n_seeds; ++seed) {
      double best = -std::numeric_limits<double>::infinity();
      for (std::size_t other = 0; other < n_norms; ++other)
        if (other != norm) best = std::fmax(best, margin(other, norm, seed));
      leads.push_back(margin(norm, norm, seed) / best);
    }
    result.checks.push_back({fmt::format("{}: margin in the {} norm over the best of the other rules",
                                         rules[norm].label, norms[norm].label),
                             "above 1", median(leads), 1.0, std::numeric_limits<double>::infinity()});
  }
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry norms_entry = {"norms", "Each rule wins the margin of its own norm",
                           "Steepest descent in a norm goes to the largest margin in that norm: Frobenius "
                           "(ngd), max (sign), spectral, l_p (mirror), and "
                           "training K and Q to that in the nuclear norm.",
                           "every norm has the rule of the next one", run};

}  // namespace softstep::program::reproduce
