// The rank of W_mm in the Frobenius and in the nuclear norm.

#include <algorithm>
#include <cmath>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 5;
struct Shape {
  std::size_t n, n_tokens, dim;
};
const Shape shapes[] = {{2, 4, 12}, {4, 4, 12}, {8, 4, 12}, {12, 4, 12}, {16, 4, 12},
                        {4, 2, 12}, {4, 8, 12}, {4, 4, 8},  {4, 4, 16}};
constexpr std::size_t n_shapes = std::size(shapes), n_of_growing_n = 5;

struct Solution {
  double rank = 0.0;
  /// Norm of what maps no query, over that of W: its rows' part outside the span of the queries.
  double outside = 0.0;
};

// || W (I - P) || / || W ||, P the projection on the span of the queries.
double outside_queries(const BatchView<double>& batch, const std::vector<double>& w) {
  const std::size_t d = batch.dim;
  std::vector<double> rest = w;
  std::vector<std::vector<double>> basis;
  for (std::size_t i = 0; i < std::min(batch.n_samples, d); ++i) {
    std::vector<double> q(batch.query(i), batch.query(i) + d);
    const auto remove = [d](double* x, const std::vector<double>& direction) {
      double along = 0.0;
      for (std::size_t j = 0; j < d; ++j) along += x[j] * direction[j];
      for (std::size_t j = 0; j < d; ++j) x[j] -= along * direction[j];
    };
    for (int pass = 0; pass < 2; ++pass)  // twice is enough
      for (const std::vector<double>& earlier : basis) remove(q.data(), earlier);
    const double norm = frobenius_norm({q.data(), d});
    for (double& value : q) value /= norm;
    for (std::size_t r = 0; r < d; ++r) remove(rest.data() + r * d, q);
    basis.push_back(q);
  }
  return frobenius_norm(rest) / frobenius_norm(w);
}

Solution solve(const BatchView<double>& batch, MatrixNorm norm, std::uint64_t seed, bool broken) {
  NormMaxMarginOptions options;
  options.norm = norm;
  options.tolerance = 1e-7;
  std::vector<double> w = solve_max_margin_in_norm(batch, options).weights;
  // Broken: noise on every entry gives W full rank.
  if (broken) {
    const std::vector<double> noise = normal_values(w.size(), 0.1, seed);
    for (std::size_t k = 0; k < w.size(); ++k) w[k] += noise[k];
  }
  return {static_cast<double>(numerical_rank(singular_values(w, batch.dim, batch.dim), 1e-3)),
          outside_queries(batch, w)};
}

/// The data sets of one shape.
struct Group {
  std::vector<double> ranks;
  double largest_share = 0.0;  ///< of min(n, d)
  double outside = 0.0;        ///< the largest
};

Group group_of(const std::vector<Solution>& solutions, std::size_t shape) {
  Group group;
  for (std::size_t seed = 0; seed < n_seeds; ++seed) {
    const Solution& one = solutions[shape * n_seeds + seed];
    group.ranks.push_back(one.rank);
    group.largest_share = std::max(
        group.largest_share, one.rank / static_cast<double>(std::min(shapes[shape].n, shapes[shape].dim)));
    group.outside = std::isnan(one.outside) ? one.outside : std::max(group.outside, one.outside);
  }
  return group;
}

Result run(const Context& context) {
  std::vector<Solution> frobenius(n_shapes * n_seeds), nuclear(n_shapes * n_seeds);
  parallel_for(frobenius.size(), context.n_threads, [&](std::size_t k) {
    const Shape& shape = shapes[k / n_seeds];
    GeneratorOptions generator;
    generator.generator = "random_unit";
    generator.n_samples = shape.n;
    generator.n_tokens = shape.n_tokens;
    generator.dim = shape.dim;
    generator.seed = k % n_seeds;
    const Dataset<double> data = generate(generator);
    frobenius[k] = solve(data.view(), MatrixNorm::frobenius, generator.seed, context.broken);
    nuclear[k] = solve(data.view(), MatrixNorm::nuclear, generator.seed, context.broken);
  });
  Result result;
  result.configuration = {{"generator", "random_unit"}, {"seeds", n_seeds}, {"singular_values_above", 1e-3}};
  Table table{"Rank of W_mm (medians of 5 data sets)", {"n", "T", "d", "Frobenius", "nuclear"}, {}};
  DataFile file{"ranks.csv", {"n", "n_tokens", "dim", "seed", "frobenius", "nuclear"}, {}};
  Series of_frobenius{"Frobenius norm", {}, {}}, of_nuclear{"nuclear norm", {}, {}},
      bound{"$\\min(n, d)$", {}, {}};
  bound.is_guide = true;
  double frobenius_share = 0.0, nuclear_share = 0.0, outside = 0.0, nuclear_over_frobenius = 0.0;
  for (std::size_t k = 0; k < n_shapes; ++k) {
    const Shape& shape = shapes[k];
    const Group f = group_of(frobenius, k), n = group_of(nuclear, k);
    frobenius_share = std::max(frobenius_share, f.largest_share);
    nuclear_share = std::max(nuclear_share, n.largest_share);
    for (const double one : {f.outside, n.outside})
      outside = std::isnan(one) || std::isnan(outside) ? outside + one : std::max(outside, one);
    nuclear_over_frobenius = std::max(nuclear_over_frobenius, median(n.ranks) / median(f.ranks));
    for (std::size_t seed = 0; seed < n_seeds; ++seed)
      file.rows.push_back({std::to_string(shape.n), std::to_string(shape.n_tokens), std::to_string(shape.dim),
                           std::to_string(seed), shortest(f.ranks[seed]), shortest(n.ranks[seed])});
    table.rows.push_back({std::to_string(shape.n), std::to_string(shape.n_tokens), std::to_string(shape.dim),
                          rounded(median(f.ranks), 3), rounded(median(n.ranks), 3)});
    if (k >= n_of_growing_n) continue;
    const auto x = static_cast<double>(shape.n);
    for (Series* series : {&of_frobenius, &of_nuclear, &bound}) series->x.push_back(x);
    of_frobenius.y.push_back(median(f.ranks));
    of_nuclear.y.push_back(median(n.ranks));
    bound.y.push_back(static_cast<double>(std::min(shape.n, shape.dim)));
  }
  result.checks = {
      {"Frobenius: largest rank of W_mm over min(n, d)", "at most 1", frobenius_share, 0.0, 1.0},
      {"nuclear: largest rank of W_mm over min(n, d)", "at most 1", nuclear_share, 0.0, 1.0},
      // The Frobenius solution is a sum of D_k z_k^T to rounding; the nuclear one to its duality gap.
      {"both: largest part of W_mm outside the span of the queries", "0", outside, 0.0, 1e-6},
      {"nuclear: largest median rank over that of Frobenius", "below 1", nuclear_over_frobenius, 0.0, 0.99}};
  Figure figure{
      "rank",
      "Rank of the max-margin solution",
      "random_unit, T = 4, d = 12; medians of 5 data sets; singular values above 1e-3 of the largest.",
      "$n$",
      "$\\mathrm{rank}(W_{\\mathrm{mm}})$",
      Scale::linear,
      Scale::linear,
      {}};
  figure.series = {of_frobenius, of_nuclear, bound};
  result.figures.push_back(figure);
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry rank_entry = {"rank",
                          "The rank of W_mm in the Frobenius and in the nuclear norm",
                          "In either norm the rows of W_mm lie in the span of the queries, so that its rank "
                          "is at most min(n, d) (arXiv 2308.16898); the nuclear norm asks for less.",
                          "noise on the entries of W_mm",
                          run,
                          "arXiv 2308.16898",
                          "rank of the Frobenius and the nuclear solution",
                          "holds"};

}  // namespace softstep::program::reproduce
