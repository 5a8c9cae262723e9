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
constexpr int rows_per_decade = 200;

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
  double least_share;  // certified: above what the rule that stands in its place with --broken certifies
};
const Rule rules[n_norms] = {{"ngd:step-size=0.3", "ngd", false, 0.99},
                             {"sign:step-size=0.03,schedule-power=0.5", "sign", false, 0.75},
                             {"spectral:step-size=0.1,schedule-power=0.5", "spectral", false, 0.8},
                             {"mirror:p=3,step-size=0.3", "mirror, p = 3", false, 0.9},
                             {"mirror:p=1.75,step-size=0.3", "mirror, p = 1.75", false, 0.99},
                             {"ngd:step-size=0.02", "ngd of K and Q", true, 0.8}};

Dataset<double> data_of(std::size_t seed) {
  GeneratorOptions options;
  options.n_samples = 6;
  options.n_tokens = 5;
  options.dim = dim;
  options.seed = seed;
  return generate(options);
}

// The last W; the certificate takes in the gradients of the last tenfold of steps.
std::vector<double> trained(const Rule& rule, const BatchView<double>& batch, std::size_t seed,
                            MarginCertificate& certificate) {
  std::vector<double> weights;
  if (!rule.factored) {
    AttentionRun run;
    run.batch = &batch;
    run.rule = parse_rule(rule.text);
    run.n_steps = n_steps;
    run.trace_rows_per_decade = rows_per_decade;
    run.weights = &weights;
    run.certificate = &certificate;
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
  trainer.trace_rows_per_decade = rows_per_decade;
  trainer.trace = [&, scores = score_tokens(batch)](const TraceRecord& row) {
    const std::vector<double> w = observe(*model, state, 0);
    if (row.step >= n_steps / 10)
      add_attention_gradient(certificate, batch, scores, std::span<const double>(w));
    return true;
  };
  run_model(*model, state, trainer);
  return observe(*model, state, 0);
}

Result run(const Context& context) {
  std::vector<Dataset<double>> data;
  for (std::size_t seed = 0; seed < n_seeds; ++seed) data.push_back(data_of(seed));
  std::vector<double> margins(n_norms * n_norms * n_seeds), bounds(margins.size());
  const auto margin = [&](std::size_t rule, std::size_t norm, std::size_t seed) -> double& {
    return margins[(seed * n_norms + rule) * n_norms + norm];
  };
  parallel_for(n_norms * n_seeds, context.n_threads, [&](std::size_t k) {
    const std::size_t rule = k % n_norms, seed = k / n_norms;
    const BatchView<double>& batch = data[seed].view();
    // Broken: every norm has the rule of the next one.
    MarginCertificate certificate(dim, dim);
    const std::vector<double> w =
        trained(rules[context.broken ? (rule + 1) % n_norms : rule], batch, seed, certificate);
    const TokenScores scores = score_tokens(batch);
    for (std::size_t norm = 0; norm < n_norms; ++norm) {
      margin(rule, norm, seed) = margin_in_norm(batch, scores, w, norms[norm].norm, norms[norm].p);
      bounds[(seed * n_norms + rule) * n_norms + norm] = certificate.bound(norms[norm].norm, norms[norm].p);
    }
  });
  // What no W of a data set exceeds: the least bound of all runs, whatever their rules.
  const auto bound = [&](std::size_t norm, std::size_t seed) {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t rule = 0; rule < n_norms; ++rule)
      least = std::fmin(least, bounds[(seed * n_norms + rule) * n_norms + norm]);
    return least;
  };

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
  Table certified{"Certified share: margin over a bound on the largest one, from gradients alone (medians)",
                  table.columns,
                  {}};
  for (std::size_t rule = 0; rule < n_norms; ++rule) {
    certified.rows.push_back({rules[rule].label});
    for (std::size_t norm = 0; norm < n_norms; ++norm) {
      std::vector<double> shares;
      for (std::size_t seed = 0; seed < n_seeds; ++seed)
        shares.push_back(margin(rule, norm, seed) / bound(norm, seed));
      certified.rows.back().push_back(rounded(median(shares), 4));
    }
  }
  for (std::size_t norm = 0; norm < n_norms; ++norm) {
    std::vector<double> shares;
    for (std::size_t seed = 0; seed < n_seeds; ++seed)
      shares.push_back(margin(norm, norm, seed) / bound(norm, seed));
    // Margin and bound are sums of some hundred terms in double: the share is below 1 but for that.
    result.checks.push_back(
        {fmt::format("{}: certified share of the largest {} margin", rules[norm].label, norms[norm].label),
         "1 in the limit", median(shares), rules[norm].least_share, 1.0 + 1e-12});
  }
  result.tables.push_back(certified);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry norms_entry = {
    "norms",
    "Each rule wins the margin of its own norm",
    "Steepest descent in a norm goes to the largest margin in that norm: Frobenius "
    "(ngd), max (sign), spectral, l_p (mirror), and "
    "training K and Q to that in the nuclear norm. No W has a larger margin than the "
    "dual norm of an averaged gradient over its weight: a certificate without a solver.",
    "every norm has the rule of the next one",
    run,
    "arXiv 2502.04664, on attention",
    "each rule to the margin of its own norm",
    "holds"};

}  // namespace softstep::program::reproduce
