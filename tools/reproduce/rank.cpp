// The rank of W_mm in the Frobenius and in the nuclear norm.

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::size_t n_seeds = 5;
struct Shape {
  std::size_t n, n_tokens, dim;
};
const Shape shapes[] = {{2, 4, 12}, {4, 4, 12}, {8, 4, 12}, {4, 2, 12}, {4, 8, 12}, {4, 4, 8}, {4, 4, 16}};
constexpr std::size_t n_shapes = std::size(shapes);

struct Ranks {
  double frobenius, nuclear;
};

Ranks ranks_of(const Shape& shape, std::uint64_t seed, bool broken) {
  GeneratorOptions generator;
  generator.model = "random_unit";
  generator.n_samples = shape.n;
  generator.n_tokens = shape.n_tokens;
  generator.dim = shape.dim;
  generator.seed = seed;
  const Dataset<double> data = generate(generator);
  const auto rank = [&](MatrixNorm norm) {
    NormMaxMarginOptions options;
    options.norm = norm;
    options.tolerance = 1e-7;
    std::vector<double> w = solve_max_margin_in_norm(data.view(), options).weights;
    // Broken: with noise of a thousandth on every entry, W has full rank.
    if (broken) {
      const std::vector<double> noise = normal_values(w.size(), 1e-2, seed);
      for (std::size_t k = 0; k < w.size(); ++k) w[k] += noise[k];
    }
    return static_cast<double>(numerical_rank(singular_values(w.data(), shape.dim, shape.dim), 1e-3));
  };
  return {rank(MatrixNorm::frobenius), rank(MatrixNorm::nuclear)};
}

Result run(const Context& context) {
  std::vector<Ranks> ranks(n_shapes * n_seeds);
  parallel_for(ranks.size(), context.n_threads,
               [&](std::size_t k) { ranks[k] = ranks_of(shapes[k / n_seeds], k % n_seeds, context.broken); });
  Result result;
  result.configuration = {{"model", "random_unit"}, {"seeds", n_seeds}, {"singular_values_above", 1e-3}};
  Table table{"Rank of W_mm (medians of 5 data sets)", {"n", "T", "d", "Frobenius", "nuclear"}, {}};
  DataFile file{"ranks.csv", {"n", "n_tokens", "dim", "seed", "frobenius", "nuclear"}, {}};
  double worst_frobenius = 0.0, worst_nuclear = 0.0;
  for (std::size_t k = 0; k < n_shapes; ++k) {
    const Shape& shape = shapes[k];
    std::vector<double> frobenius, nuclear;
    for (std::size_t seed = 0; seed < n_seeds; ++seed) {
      const Ranks& r = ranks[k * n_seeds + seed];
      frobenius.push_back(r.frobenius);
      nuclear.push_back(r.nuclear);
      worst_frobenius =
          std::fmax(worst_frobenius, r.frobenius / static_cast<double>(std::min(shape.n, shape.dim)));
      file.rows.push_back({std::to_string(shape.n), std::to_string(shape.n_tokens), std::to_string(shape.dim),
                           std::to_string(seed), shortest(r.frobenius), shortest(r.nuclear)});
    }
    worst_nuclear = std::fmax(worst_nuclear, median(nuclear) / median(frobenius));
    table.rows.push_back({std::to_string(shape.n), std::to_string(shape.n_tokens), std::to_string(shape.dim),
                          rounded(median(frobenius), 3), rounded(median(nuclear), 3)});
  }
  result.checks.push_back(
      {"largest rank of W_mm (Frobenius) over min(n, d)", "at most 1", worst_frobenius, 0.0, 1.0});
  result.checks.push_back(
      {"nuclear: largest median rank over that of Frobenius", "below 1", worst_nuclear, 0.0, 0.99});
  result.tables.push_back(table);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry rank_entry = {"rank", "The rank of W_mm in the Frobenius and in the nuclear norm",
                          "W_mm = sum_k lambda_k D_k z_k^T has at most the rank of the queries, min(n, d); "
                          "the nuclear norm asks for less.",
                          "noise on the entries of W_mm", run};

}  // namespace softstep::program::reproduce
