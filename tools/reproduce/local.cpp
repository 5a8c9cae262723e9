// Local convergence: random labels and decoders, where training selects tokens of its own choice.

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 100, dim = 10;
constexpr std::int64_t n_steps = 2000;
constexpr double step_size = 0.1, rank_tolerance = 0.01;

// What one data set says; NaN where the local problem has no solution.
struct Outcome {
  double w_to_frobenius, kq_to_nuclear, kq_to_frobenius;  // 1 - cos to the problem of the tokens selected
  double nuclear_gain;  // nuclear margin of K Q^T over that of W, same tokens
  double w_rank, kq_rank;
  double w_optimal, kq_optimal;             // share of samples at the optimal token
  std::vector<double> w_values, kq_values;  // singular values over the largest
};

std::vector<double> train_factored(const BatchView<double>& batch, std::uint64_t seed) {
  AttentionOptions options;
  options.key_query = KeyQuery::factored;
  options.rank = dim;
  options.optimal_loss = OptimalLoss::selected;
  const auto model = make_attention_model(batch, options);
  TrainerOptions trainer;
  trainer.rules = {{"ngd", {{"step-size", step_size}}}};
  trainer.n_steps = n_steps;
  trainer.trace_rows_per_decade = 0;
  TrainState<double> state = normal_state(*model, 0.01, seed);
  run_model(*model, state, trainer);
  return observe(*model, state, 0);
}

/// The last W of each data set.
std::vector<std::vector<double>> train_combined(const std::vector<Dataset<double>>& data, int n_threads) {
  std::vector<std::vector<double>> weights(data.size());
  std::vector<AttentionRun> runs(data.size());
  for (std::size_t seed = 0; seed < data.size(); ++seed) {
    runs[seed].batch = &data[seed].view();
    runs[seed].rule = parse_rule("ngd:step-size=0.1");
    runs[seed].n_steps = n_steps;
    runs[seed].trace_rows_per_decade = 0;
    runs[seed].optimal_loss = OptimalLoss::selected;
    runs[seed].weights = &weights[seed];
  }
  run_attentions(runs, n_threads);
  return weights;
}

double distance_to_svm(const BatchView<double>& batch, const std::vector<std::size_t>& selected,
                       const std::vector<double>& w, MatrixNorm norm) {
  NormMaxMarginOptions options;
  options.norm = norm;
  options.selected = selected;
  options.tolerance = 1e-6;
  const MaxMarginResult solved = solve_max_margin_in_norm(batch, options);
  if (solved.status == MaxMarginStatus::not_separable || solved.weights.empty())
    return std::numeric_limits<double>::quiet_NaN();
  return compare_direction(w, solved.weights).one_minus_cos;
}

double rank_of(const std::vector<double>& values) {
  return static_cast<double>(numerical_rank(values, rank_tolerance));
}

std::vector<double> relative_singular_values(const std::vector<double>& w) {
  std::vector<double> values = singular_values(w, dim, dim);
  const double largest = values[0];
  for (double& value : values) value /= largest;
  return values;
}

double share_at(const std::vector<std::size_t>& tokens, const std::vector<std::size_t>& optimal) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) n += tokens[i] == optimal[i] ? 1 : 0;
  return static_cast<double>(n) / static_cast<double>(tokens.size());
}

// `w` is what train_combined gave.
Outcome examine(const BatchView<double>& batch, std::uint64_t seed, std::vector<double> w, bool broken) {
  std::vector<double> kq = train_factored(batch, seed);
  if (broken) std::swap(w, kq);
  const std::vector<std::size_t> by_w = selected_tokens(batch, w), by_kq = selected_tokens(batch, kq);
  const TokenScores scores = score_tokens(batch);
  Outcome out{};
  out.w_to_frobenius = distance_to_svm(batch, by_w, w, MatrixNorm::frobenius);
  out.kq_to_nuclear = distance_to_svm(batch, by_kq, kq, MatrixNorm::nuclear);
  out.kq_to_frobenius = distance_to_svm(batch, by_kq, kq, MatrixNorm::frobenius);
  out.nuclear_gain = by_w != by_kq ? std::numeric_limits<double>::quiet_NaN()
                                   : margin_in_norm(batch, by_kq, kq, MatrixNorm::nuclear) /
                                         margin_in_norm(batch, by_w, w, MatrixNorm::nuclear);
  out.w_values = relative_singular_values(w);
  out.kq_values = relative_singular_values(kq);
  out.w_rank = rank_of(out.w_values);
  out.kq_rank = rank_of(out.kq_values);
  out.w_optimal = share_at(by_w, scores.optimal);
  out.kq_optimal = share_at(by_kq, scores.optimal);
  return out;
}

// Those that are numbers.
std::vector<double> known(const std::vector<Outcome>& outcomes, double Outcome::*value) {
  std::vector<double> values;
  for (const Outcome& outcome : outcomes)
    if (!std::isnan(outcome.*value)) values.push_back(outcome.*value);
  return values;
}

std::string optimal_sets(const std::vector<Outcome>& outcomes, double Outcome::*share) {
  const auto n = std::count_if(outcomes.begin(), outcomes.end(),
                               [&](const Outcome& outcome) { return outcome.*share == 1.0; });
  return std::to_string(n);
}

double mean(const std::vector<Outcome>& outcomes, double Outcome::*value) {
  double sum = 0.0;
  for (const Outcome& outcome : outcomes) sum += outcome.*value;
  return sum / static_cast<double>(outcomes.size());
}

void add_figures(const std::vector<Outcome>& outcomes, Result& result) {
  const std::string data = "random_unit, n = 6, T = 8, d = 10; 2000 normalised steps of 0.1.";
  Figure distances{"distance", "Distance from the W-SVM of the selected tokens",
                   "100 data sets, each curve in increasing order. " + data, "data sets, %", "$1 - \\cos$"};
  distances.x_scale = Scale::linear;
  for (const auto& [label, column] : {std::pair{"$W$, Frobenius", &Outcome::w_to_frobenius},
                                      std::pair{"$K Q^T$, nuclear", &Outcome::kq_to_nuclear},
                                      std::pair{"$K Q^T$, Frobenius", &Outcome::kq_to_frobenius}}) {
    std::vector<double> sorted = known(outcomes, column), share;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t k = 0; k < sorted.size(); ++k)
      share.push_back(100.0 * (static_cast<double>(k) + 0.5) / static_cast<double>(sorted.size()));
    distances.series.push_back({label, share, sorted});
  }
  Figure spectrum{"singular_values", "Singular values after training",
                  "Medians over 100 data sets; no ridge. " + data, "$k$", "$\\sigma_k / \\sigma_1$"};
  spectrum.x_scale = Scale::linear;
  for (const auto& [label, column] :
       {std::pair{"$W$", &Outcome::w_values}, std::pair{"$K Q^T$", &Outcome::kq_values}}) {
    Series series{label, {}, {}};
    for (std::size_t k = 0; k < dim; ++k) {
      std::vector<double> values;
      for (const Outcome& outcome : outcomes) values.push_back((outcome.*column)[k]);
      // What is rounding alone is not drawn.
      if (median(values) < 1e-12) break;
      series.x.push_back(static_cast<double>(k + 1));
      series.y.push_back(median(values));
    }
    spectrum.series.push_back(series);
  }
  result.figures = {distances, spectrum};
}

Result run(const Context& context) {
  std::vector<Dataset<double>> data;
  for (std::size_t seed = 0; seed < n_seeds; ++seed) data.push_back(generate(random_tokens(seed)));
  const std::vector<std::vector<double>> weights = train_combined(data, context.n_threads);
  std::vector<Outcome> outcomes(n_seeds);
  parallel_for(n_seeds, context.n_threads, [&](std::size_t seed) {
    outcomes[seed] = examine(data[seed].view(), seed, weights[seed], context.broken);
  });
  Result result;
  result.configuration = {
      {"generator", "random_unit"}, {"samples", 6},     {"tokens", 8},           {"dim", dim},
      {"seeds", n_seeds},           {"steps", n_steps}, {"step_size", step_size}};
  const auto median_of = [&](double Outcome::*value) { return median(known(outcomes, value)); };
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> gains = known(outcomes, &Outcome::nuclear_gain);
  const double n_gaining =
      static_cast<double>(std::count_if(gains.begin(), gains.end(), [](double gain) { return gain > 1.0; }));
  result.checks.push_back({"W: median 1 - cos to the Frobenius W-SVM of the tokens it selects", "near 0",
                           median_of(&Outcome::w_to_frobenius), 0.0, 0.01});
  result.checks.push_back(
      {"K Q^T: median 1 - cos to the nuclear W-SVM over that to the Frobenius W-SVM", "below 1",
       median_of(&Outcome::kq_to_nuclear) / median_of(&Outcome::kq_to_frobenius), 0.0, 0.5});
  result.checks.push_back({"share of data sets where K Q^T has the larger nuclear margin (same tokens)", "1",
                           n_gaining / static_cast<double>(gains.size()), 0.9, 1.0});
  result.checks.push_back({"median rank of W over that of K Q^T (singular values above 1 % of the largest)",
                           "above 1", median_of(&Outcome::w_rank) / median_of(&Outcome::kq_rank), 1.2, inf});
  Table table{"Over 100 data sets; medians unless said otherwise", {"what", "W", "K Q^T"}, {}};
  table.rows = {{"1 - cos to the Frobenius W-SVM", rounded(median_of(&Outcome::w_to_frobenius), 3),
                 rounded(median_of(&Outcome::kq_to_frobenius), 3)},
                {"1 - cos to the nuclear W-SVM", "-", rounded(median_of(&Outcome::kq_to_nuclear), 3)},
                {"rank", rounded(median_of(&Outcome::w_rank), 3), rounded(median_of(&Outcome::kq_rank), 3)},
                {"nuclear margin over that of W", "1", rounded(median(gains), 4)},
                {"data sets with the same tokens", "-", std::to_string(gains.size())},
                {"samples at the optimal token (mean share)", rounded(mean(outcomes, &Outcome::w_optimal), 3),
                 rounded(mean(outcomes, &Outcome::kq_optimal), 3)},
                {"data sets with all samples there", optimal_sets(outcomes, &Outcome::w_optimal),
                 optimal_sets(outcomes, &Outcome::kq_optimal)}};
  add_figures(outcomes, result);
  result.tables.push_back(table);
  DataFile file{"outcomes.csv",
                {"seed", "w_to_frobenius", "kq_to_nuclear", "kq_to_frobenius", "nuclear_gain", "w_rank",
                 "kq_rank", "w_optimal", "kq_optimal"},
                {}};
  for (std::size_t seed = 0; seed < n_seeds; ++seed) {
    const Outcome& o = outcomes[seed];
    file.rows.push_back({std::to_string(seed)});
    for (const double value : {o.w_to_frobenius, o.kq_to_nuclear, o.kq_to_frobenius, o.nuclear_gain, o.w_rank,
                               o.kq_rank, o.w_optimal, o.kq_optimal})
      file.rows.back().push_back(shortest(value));
  }
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry local_entry = {"local",
                           "Local convergence: W to the Frobenius W-SVM, K Q^T to the nuclear one",
                           "100 sets of random_unit, n = 6, T = 8, d = 10, normalised gradient descent with "
                           "step 0.1: the tokens that training selects, "
                           "and the W-SVM of these tokens (arXiv 2308.16898).",
                           "W in place of K Q^T, and the other way round",
                           run,
                           "arXiv 2308.16898",
                           "W to the Frobenius, K Q^T to the nuclear problem of the tokens selected",
                           "holds"};

}  // namespace softstep::program::reproduce
