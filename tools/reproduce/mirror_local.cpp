// l_p mirror descent from W = 0 to the l_p max margin of the tokens that it selects itself, on 100 data sets,
// and of W and the decoder together.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/bregman.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/worst.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 100, n_p = 3, n_joint = 4, dim = 10;
constexpr double powers[n_p] = {1.75, 2.0, 3.0};
constexpr std::int64_t steps[n_p] = {1500, 2000, 20000};
constexpr double eta = 0.1;
// Joint runs, with the power that `mirror` has nowhere else.
constexpr double joint_powers[n_joint] = {1.1, 1.75, 2.0, 3.0};
constexpr std::int64_t joint_steps[n_joint] = {1500, 1500, 2000, 20000};

// Empty if there is no separating W, or the solver did not reach 1e-5.
std::vector<double> limit_of(const BatchView<double>& batch, const std::vector<std::size_t>& selected,
                             double p) {
  NormMaxMarginOptions options;
  options.norm = MatrixNorm::l_p;
  options.p = p;
  options.selected = selected;
  const MaxMarginResult solved = solve_max_margin_in_norm(batch, options);
  const bool solves = solved.status == MaxMarginStatus::optimal ||
                      (solved.status == MaxMarginStatus::at_rounding && solved.duality_gap <= 1e-5);
  return solves ? solved.weights : std::vector<double>{};
}

// Of one data set, the distance D_b(limit for a, W of b), at [a][b]; NaN where there is no limit.
struct Distances {
  double at[n_p][n_p];
};

Distances distances_of(std::uint64_t seed, bool broken) {
  const Dataset<double> data = generate(random_tokens(seed));
  std::vector<double> weights[n_p], limits[n_p];
  for (std::size_t k = 0; k < n_p; ++k) {
    const AttentionModel<double> model(data.view());
    TrainState<double> state = initial_state(model);
    TrainerOptions options;
    // Broken: each power is trained with the next one's potential.
    const std::size_t of = broken ? (k + 1) % n_p : k;
    options.rules = {{"mirror", {{"p", powers[of]}, {"step-size", eta}}}};
    options.n_steps = steps[of];
    options.trace_rows_per_decade = 0;
    train(model, state, options);
    weights[k] = state.blocks[0];
    limits[k] =
        limit_of(data.view(), selected_tokens(data.view(), std::span<const double>(weights[k])), powers[k]);
  }
  Distances out;
  for (std::size_t a = 0; a < n_p; ++a)
    for (std::size_t b = 0; b < n_p; ++b)
      out.at[a][b] = limits[a].empty() ? std::numeric_limits<double>::quiet_NaN()
                                       : bregman(limits[a], weights[b], powers[b]);
  return out;
}

// The published toy: two samples of three tokens, queries are the first ones.
struct Toy {
  std::vector<double> tokens = {-2.7, 1.2, 1.4, 2.1, 1.3, -0.1, 0.4, -2.2, -1.1, -0.4, 0.9, 0.1};
  std::vector<std::int8_t> labels = {1, -1};
  BatchView<double> view() const {
    BatchView<double> out;
    out.tokens = tokens.data();
    out.n_samples = 2;
    out.n_tokens = 3;
    out.dim = 2;
    out.labels = labels.data();
    return out;
  }
};

struct Joint {
  std::vector<std::size_t> selected;
  double weights = std::numeric_limits<double>::quiet_NaN(), decoder = weights, decoder_norm = weights;
};

// W and the decoder v by mirror descent of one p: W to the margin of the tokens that it selects, v to that of
// those tokens as labelled points.
Joint joint_of(double p, double trained_with, std::int64_t n_steps) {
  const Toy toy;
  AttentionOptions how;
  how.train_decoder = true;
  how.optimal_loss = OptimalLoss::zero;
  const AttentionModel<double> model(toy.view(), how);
  TrainState<double> state = initial_state(model);
  TrainerOptions options;
  options.rules = {{"mirror", {{"p", trained_with}, {"step-size", eta}}}};
  options.n_steps = n_steps;
  options.trace_rows_per_decade = 0;
  train(model, state, options);
  Joint out;
  out.selected = selected_tokens(toy.view(), std::span<const double>(state.blocks[0]));
  const std::vector<double> limit = limit_of(toy.view(), out.selected, p);
  if (!limit.empty()) out.weights = bregman(limit, state.blocks[0], p);
  // y_i x_i as token 0 against a token 0 of zeros, by the query (1, 0): the first column of W is v.
  std::vector<double> points, queries = {1.0, 0.0, 1.0, 0.0};
  for (std::size_t i = 0; i < 2; ++i) {
    const double* x = toy.tokens.data() + (3 * i + out.selected[i]) * 2;
    points.insert(points.end(), {toy.labels[i] * x[0], toy.labels[i] * x[1], 0.0, 0.0});
  }
  BatchView<double> batch;
  batch.tokens = points.data();
  batch.n_samples = 2;
  batch.n_tokens = 2;
  batch.dim = 2;
  batch.labels = toy.labels.data();
  batch.queries = queries.data();
  const std::vector<double> column = limit_of(batch, {0, 0}, p);
  if (!column.empty()) out.decoder = bregman({column[0], column[2]}, state.blocks[1], p);
  out.decoder_norm = matrix_norm(std::span<const double>(state.blocks[1]), 1, 2, MatrixNorm::l_p, p);
  return out;
}

Result run(const Context& context) {
  std::vector<Distances> all(n_seeds);
  std::vector<Joint> joint(n_joint);
  parallel_for(n_seeds + n_joint, context.n_threads, [&](std::size_t k) {
    if (k < n_seeds) {
      all[k] = distances_of(k, context.broken);
      return;
    }
    const std::size_t j = k - n_seeds, of = context.broken ? (j + 1) % n_joint : j;
    joint[j] = joint_of(joint_powers[j], joint_powers[of], joint_steps[of]);
  });
  Result result;
  result.configuration = {{"generator", "random_unit"}, {"samples", 6},     {"tokens", 8},   {"dim", dim},
                          {"seeds", n_seeds},           {"step_size", eta}, {"steps", steps}};
  double mean[n_p][n_p] = {};
  std::size_t n_with[n_p] = {};
  DataFile file{"distances.csv", {"limit_p", "trained_p", "seed", "distance"}, {}};
  for (std::size_t a = 0; a < n_p; ++a)
    for (std::size_t seed = 0; seed < n_seeds; ++seed) {
      for (std::size_t b = 0; b < n_p; ++b)
        file.rows.push_back(
            {shortest(powers[a]), shortest(powers[b]), std::to_string(seed), shortest(all[seed].at[a][b])});
      if (std::isnan(all[seed].at[a][a])) continue;
      ++n_with[a];
      for (std::size_t b = 0; b < n_p; ++b) mean[a][b] += all[seed].at[a][b];
    }
  Table table{"Mean Bregman distance D_b between the limit for a and W of b",
              {"limit", "trained p = 1.75", "p = 2", "p = 3", "data sets"},
              {}};
  for (std::size_t a = 0; a < n_p; ++a) {
    for (double& x : mean[a]) x /= static_cast<double>(n_with[a]);
    table.rows.push_back({name_of_power(powers[a]), rounded(mean[a][0], 3), rounded(mean[a][1], 3),
                          rounded(mean[a][2], 3), std::to_string(n_with[a])});
  }
  const auto add = [&](const std::string& law, const char* expected, double value, double low, double high) {
    result.checks.push_back({law, expected, value, low, high});
  };
  Figure figure{"local", "Mirror descent from W = 0: which max margin W goes to",
                "Mean Bregman distance over 100 data sets to the limits for p = 1.75, 2, 3.",
                "p of the limit", "$D$"};
  figure.x_scale = Scale::linear;
  for (std::size_t b = 0; b < n_p; ++b) {
    double other = std::numeric_limits<double>::infinity();
    Series series{fmt::format("trained with {}", name_of_power(powers[b])), {}, {}};
    for (std::size_t a = 0; a < n_p; ++a) {
      if (a != b) other = smaller(other, mean[a][b]);
      series.x.push_back(powers[a]);
      series.y.push_back(mean[a][b]);
    }
    figure.series.push_back(series);
    add(fmt::format("trained with {}: mean distance to its own limit over the nearest other",
                    name_of_power(powers[b])),
        "0 in the limit", mean[b][b] / other, 0.0, 0.2);
  }
  Table both{"W and v together", {"p", "steps", "tokens", "D(W)", "D(v)", "|v|_p"}, {}};
  for (std::size_t j = 0; j < n_joint; ++j) {
    const Joint& one = joint[j];
    both.rows.push_back({shortest(joint_powers[j]), std::to_string(joint_steps[j]),
                         fmt::format("{}, {}", one.selected[0], one.selected[1]), rounded(one.weights, 3),
                         rounded(one.decoder, 3), rounded(one.decoder_norm, 4)});
    // From W = 0 the run of p = 3 selects another token and is not there yet at the published number of
    // steps, and W of p = 1.1 is far from its limit: in the table, without a verdict.
    if (joint_powers[j] != 1.75 && joint_powers[j] != 2.0) continue;
    add(fmt::format("W and v together, {}: larger distance of W and v to their limits",
                    name_of_power(joint_powers[j])),
        "0 in the limit",
        one.weights >= one.decoder  ? one.weights
        : one.weights < one.decoder ? one.decoder
                                    : one.weights + one.decoder,
        0.0, 1e-4);
  }
  result.tables = {table, both};
  result.figures.push_back(figure);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry mirror_local_entry = {
    "mirror_local",
    "l_p mirror descent on 100 data sets, and of W and the decoder together",
    "Random unit tokens, W = 0, normalised steps of 0.1 (arXiv 2410.14581, their sizes and step counts): "
    "each p "
    "goes to the l_p max margin of the tokens that it selects, in its own Bregman distance nearer than to "
    "the "
    "other limits. On the published toy W and the decoder go to theirs together for p = 1.75 and 2.",
    "each power is trained with the potential of the next",
    run,
    "arXiv 2410.14581",
    "local convergence of l_p-AttGD, joint convergence of l_p-JointGD",
    "holds; joint for p = 1.75 and 2 only; real data and the sparsity of weights are not done"};

}  // namespace softstep::program::reproduce
