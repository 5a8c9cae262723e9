// Sizes at which neither the constraint matrix nor its Gram matrix would fit.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "softstep/metrics.h"

using namespace softstep;

namespace {

// W is feasible and its norm within the gap of the dual bound sum lambda, both without the solver's word for
// it.
void check_answer(const BatchView<double>& batch, const MaxMarginResult& result, double tolerance) {
  REQUIRE(result.status == MaxMarginStatus::optimal);
  CHECK(result.duality_gap <= tolerance);
  CHECK(result.kkt_residual <= tolerance);
  const double norm = frobenius_norm(result.weights);
  const double margin = normalized_margin(batch, score_tokens(batch), result.weights);
  double sum = 0.0;
  for (const double l : result.multipliers) sum += l;
  // Sums of 10^5 terms in double.
  CHECK(std::fabs(margin * norm - 1.0) <= 1e-11);
  CHECK(std::fabs(result.norm / norm - 1.0) <= 1e-11);
  // W = sum lambda A and the smallest margin is 1: ||W||^2 <= sum lambda <A, W> with equality where it
  // counts.
  CHECK(std::fabs(sum / (norm * norm) - 1.0) <= tolerance);
}

Dataset<double> generated(std::size_t n, std::size_t n_tokens, std::size_t dim) {
  GeneratorOptions options;
  options.n_samples = n;
  options.n_tokens = n_tokens;
  options.dim = dim;
  return generate(options);
}

}  // namespace

TEST_CASE("950 constraints in 200 dimensions to 1e-10", "[max_margin]") {
  const Dataset<double> data = generated(50, 20, 200);
  check_answer(data.view(), solve_max_margin(data.view()), 1e-10);
}

TEST_CASE("31500 constraints in 512 dimensions to 1e-8", "[max_margin][long]") {
  const Dataset<double> data = generated(500, 64, 512);
  MaxMarginOptions options;
  options.tolerance = 1e-8;
  options.n_threads = 0;
  check_answer(data.view(), solve_max_margin(data.view(), options), options.tolerance);
}

TEST_CASE("31500 constraints in 32 dimensions cannot be satisfied", "[max_margin][long]") {
  const Dataset<double> data = generated(500, 64, 32);
  MaxMarginOptions options;
  options.n_threads = 0;
  const MaxMarginResult result = solve_max_margin(data.view(), options);
  CHECK(result.status == MaxMarginStatus::not_separable);
  CHECK(result.certificate <= 1e-13);
}

TEST_CASE("hard data reach 1e-10: nearly as many constraints as entries", "[max_margin][long]") {
  const Dataset<double> data = generated(200, 16, 64);
  check_answer(data.view(), solve_max_margin(data.view()), 1e-10);
}
