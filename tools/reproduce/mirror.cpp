// l_p mirror descent goes to the l_p max-margin direction, and to no other.

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

constexpr int n_seeds = 3;
constexpr std::int64_t n_steps = 100000;
constexpr std::size_t n_p = 3;
const double powers[n_p] = {1.75, 2.0, 3.0};

// Distances of one run from all three limits, at log-spaced steps.
struct Curve {
  std::vector<double> steps;
  std::vector<double> distance[n_p];
};

Curve follow(const BatchView<double>& batch, double p, const std::vector<std::vector<double>>& limits) {
  Curve curve;
  const AttentionModel<double> model(batch);
  TrainState<double> state = initial_state(model);
  TrainerOptions options;
  options.rules = {{"mirror", {{"p", p}, {"step-size", 0.3}}}};
  options.trace_rows_per_decade = 0;
  for (double next = 10.0; next <= 1.001 * n_steps; next *= std::pow(10.0, 0.25)) {
    options.n_steps = std::llround(next) - state.step;
    train(model, state, options);
    curve.steps.push_back(static_cast<double>(state.step));
    for (std::size_t k = 0; k < n_p; ++k)
      curve.distance[k].push_back(bregman(limits[k], state.blocks[0], powers[k]));
  }
  return curve;
}

Result run(const Context& context) {
  std::vector<Curve> curves(n_seeds * n_p);
  const auto curve = [&](std::size_t trained, std::size_t seed) -> Curve& {
    return curves[seed * n_p + trained];
  };
  parallel_for(n_seeds, context.n_threads, [&](std::size_t seed) {
    GeneratorOptions generator;
    generator.n_samples = 6;
    generator.n_tokens = 5;
    generator.dim = 12;
    generator.seed = seed;
    const Dataset<double> data = generate(generator);
    std::vector<std::vector<double>> limits;
    for (const double p : powers) {
      NormMaxMarginOptions options;
      options.norm = MatrixNorm::l_p;
      options.p = p;
      limits.push_back(solve_max_margin_in_norm(data.view(), options).weights);
    }
    // Broken: each power is trained with the next one's potential.
    for (std::size_t k = 0; k < n_p; ++k)
      curve(k, seed) = follow(data.view(), powers[context.broken ? (k + 1) % n_p : k], limits);
  });

  Result result;
  result.configuration = {{"generator", "signal_noise"},
                          {"samples", 6},
                          {"tokens", 5},
                          {"dim", 12},
                          {"seeds", n_seeds},
                          {"steps", n_steps}};
  // What is left of the distance over the last two decades.
  const auto left = [&](std::size_t trained, std::size_t limit) {
    std::vector<double> values;
    for (std::size_t seed = 0; seed < n_seeds; ++seed) {
      const Curve& c = curve(trained, seed);
      values.push_back(c.distance[limit].back() / value_at(c.steps, c.distance[limit], n_steps / 100.0));
    }
    return median(values);
  };
  Table table{"Bregman distance to the l_p max-margin directions after 1e5 steps (medians of 3 data sets)",
              {"trained with"},
              {}};
  DataFile file{"distances.csv", {"trained_p", "limit_p", "seed", "step", "distance"}, {}};
  const double inf = std::numeric_limits<double>::infinity();
  for (std::size_t trained = 0; trained < n_p; ++trained) {
    table.columns.push_back(fmt::format("limit {}", name_of_power(powers[trained])));
    table.rows.push_back({name_of_power(powers[trained])});
    Figure figure;
    figure.file = fmt::format("mirror_{}", trained + 1);
    figure.title = fmt::format("Mirror descent with {}", name_of_power(powers[trained]));
    figure.caption =
        "Bregman distance of the direction of W to each max-margin direction; median of 3 data sets.";
    figure.x_label = "step";
    figure.y_label = "$D_p(W_{\\mathrm{mm}},\\ W_t)$";
    for (std::size_t limit = 0; limit < n_p; ++limit) {
      std::vector<double> finals;
      Series series;
      series.label = fmt::format("limit for {}", name_of_power(powers[limit]));
      series.x = curve(trained, 0).steps;
      for (std::size_t k = 0; k < series.x.size(); ++k) {
        std::vector<double> values;
        for (std::size_t seed = 0; seed < n_seeds; ++seed)
          values.push_back(curve(trained, seed).distance[limit][k]);
        series.y.push_back(median(values));
      }
      for (std::size_t seed = 0; seed < n_seeds; ++seed) {
        const Curve& c = curve(trained, seed);
        finals.push_back(c.distance[limit].back());
        for (std::size_t k = 0; k < c.steps.size(); ++k)
          file.rows.push_back({shortest(powers[trained]), shortest(powers[limit]), std::to_string(seed),
                               shortest(c.steps[k]), shortest(c.distance[limit][k])});
      }
      figure.series.push_back(series);
      table.rows.back().push_back(rounded(median(finals), 3));
    }
    const double own_left = left(trained, trained);
    double least_left = inf;
    for (std::size_t limit = 0; limit < n_p; ++limit)
      if (limit != trained) least_left = smaller(least_left, left(trained, limit));
    const std::string law = fmt::format("trained with {}: distance at 1e5 steps over that at 1e3, ",
                                        name_of_power(powers[trained]));
    result.checks.push_back({law + "own limit", "falls tenfold at least", own_left, 0.0, 0.1});
    result.checks.push_back({law + "smallest of the other limits", "stays", least_left, 0.5, inf});
    result.figures.push_back(figure);
  }
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry mirror_entry = {"mirror",
                            "l_p mirror descent and the l_p max-margin directions",
                            "The direction of W under mirror descent with |W|_p^p goes to the l_p max-margin "
                            "direction and to no other: Bregman distances, "
                            "p = 1.75, 2, 3 (arXiv 2410.14581, l_p-AttGD).",
                            "each power is trained with the potential of the next",
                            run,
                            "arXiv 2410.14581",
                            "l_p mirror descent to the l_p max-margin direction",
                            "holds, W alone"};

}  // namespace softstep::program::reproduce
