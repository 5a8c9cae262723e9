// Options, endings and what each leaves in the result; the same bits for any number of threads.

#include <array>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "data/refused.h"
#include "max_margin/certificate_check.h"
#include "softstep/dataset.h"
#include "softstep/max_margin.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

Dataset<double> generated(std::size_t n, std::size_t n_tokens, std::size_t dim, std::uint64_t seed = 0) {
  GeneratorOptions options;
  options.n_samples = n;
  options.n_tokens = n_tokens;
  options.dim = dim;
  options.seed = seed;
  return generate(options);
}

}  // namespace

TEST_CASE("bad options are refused by name", "[max_margin]") {
  const auto refuse = [](const char* argument, const char* value, MaxMarginOptions options) {
    require_refused(argument, {value}, [&] { options.validate(); });
    const Dataset<double> data = generated(2, 3, 4);
    require_refused(argument, {value}, [&] { solve_max_margin(data.view(), options); });
  };
  MaxMarginOptions options;
  CHECK_NOTHROW(options.validate());
  for (const double bad :
       {0.0, -1e-10, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    options.tolerance = bad;
    refuse("tolerance", "positive finite", options);
  }
  options.tolerance = -2.5e-10;
  refuse("tolerance", "-2.5e-10", options);
  options = {};
  options.max_sweeps = 0;
  refuse("max_sweeps", "0", options);
  options = {};
  options.n_threads = -3;
  refuse("n_threads", "-3", options);
}

TEST_CASE("a bad batch is refused", "[max_margin]") {
  TestBatch<double> data({}, 1);
  data.view.decoder = nullptr;
  require_refused("decoder", {}, [&] { solve_max_margin(data.view); });
  TestBatch<double> nan({}, 1);
  nan.tokens[3] = std::numeric_limits<double>::quiet_NaN();
  require_refused("tokens", {"nan"}, [&] { solve_max_margin(nan.view); });
}

TEST_CASE("statuses have names", "[max_margin]") {
  CHECK(std::string(to_string(MaxMarginStatus::not_run)) == "not_run");
  CHECK(std::string(to_string(MaxMarginStatus::optimal)) == "optimal");
  CHECK(std::string(to_string(MaxMarginStatus::not_separable)) == "not_separable");
  CHECK(std::string(to_string(MaxMarginStatus::max_sweeps)) == "max_sweeps");
  CHECK(std::string(to_string(MaxMarginStatus::interrupted)) == "interrupted");
  CHECK(std::string(to_string(MaxMarginStatus::no_constraints)) == "no_constraints");
  CHECK(std::string(to_string(MaxMarginStatus::at_rounding)) == "at_rounding");
  CHECK(std::string(to_string(MaxMarginStatus::undecided)) == "undecided");
  CHECK(MaxMarginResult{}.status == MaxMarginStatus::not_run);
}

TEMPLATE_TEST_CASE("samples of one token ask for nothing", "[max_margin]", float, double) {
  Layout layout;
  layout.n_tokens = {1, 1, 1};
  for (const bool ragged : {false, true}) {
    layout.ragged = ragged;
    const TestBatch<TestType> data(layout, 2);
    const MaxMarginResult result = solve_max_margin(data.view);
    CHECK(result.status == MaxMarginStatus::no_constraints);
    CHECK(result.weights == std::vector<double>(25, 0.0));
    CHECK(result.multipliers == std::vector<double>(3, 0.0));
    CHECK(result.margin == std::numeric_limits<double>::infinity());
    CHECK(result.norm == 0.0);
    CHECK(result.n_constraints == 0);
    CHECK(result.sweeps == 0);
  }
}

TEST_CASE("one-token samples among others change nothing", "[max_margin]") {
  Layout with, without;
  with.n_tokens = {1, 4, 1, 3, 1};
  with.ragged = with.separate_queries = true;
  const TestBatch<double> data(with, 8);
  const MaxMarginResult result = solve_max_margin(data.view);
  check_certificate(data.view, result, 1e-10);
  CHECK(result.n_constraints == 5);
}

TEST_CASE("two best tokens: the first is optimal, the other a constraint", "[max_margin]") {
  Layout layout;
  layout.n_tokens = {4, 4};
  layout.dim = 8;
  TestBatch<double> data(layout, 3);
  CHECK(solve_max_margin(data.view).unique_optimal_tokens);
  // A second token with exactly the best score: the decoder sees one coordinate, which they share.
  for (std::size_t j = 1; j < 8; ++j) data.decoder[j] = 0.0;
  const std::size_t best = score_tokens(data.view).optimal[0], other = (best + 2) % 4;
  data.tokens[other * 8] = data.tokens[best * 8];
  const MaxMarginResult result = solve_max_margin(data.view);
  CHECK_FALSE(result.unique_optimal_tokens);
  CHECK(result.n_constraints == 6);
  check_certificate(data.view, result, 1e-10);
  CHECK(result.multipliers[std::min(best, other)] == 0.0);
}

TEST_CASE("sweeps run out", "[max_margin]") {
  const Dataset<double> data = generated(20, 8, 40);
  MaxMarginOptions options;
  const MaxMarginResult whole = solve_max_margin(data.view(), options);
  REQUIRE(whole.status == MaxMarginStatus::optimal);
  REQUIRE(whole.sweeps > 8);
  for (std::size_t sweeps = 1; sweeps < whole.sweeps; ++sweeps) {
    CAPTURE(sweeps);
    options.max_sweeps = sweeps;
    const MaxMarginResult result = solve_max_margin(data.view(), options);
    REQUIRE(result.status == MaxMarginStatus::max_sweeps);
    REQUIRE(result.sweeps == sweeps);
    REQUIRE(result.weights.size() == 40 * 40);
    REQUIRE(result.norm > 0.0);
    // A weaker bound is a bound all the same: by weak duality the margin is at most that of W_mm.
    REQUIRE(result.margin <= whole.margin * (1.0 + 1e-9));
    REQUIRE(result.duality_gap > 0.0);
    for (const double l : result.multipliers) REQUIRE(l >= 0.0);
    if (std::isfinite(result.duality_gap)) {
      REQUIRE(result.norm >= whole.norm * (1.0 - 1e-9));
      REQUIRE(result.norm * result.norm * (1.0 - result.duality_gap) <=
              whole.norm * whole.norm * (1.0 + 1e-9));
    }
  }
  options.max_sweeps = whole.sweeps;
  CHECK(solve_max_margin(data.view(), options).status == MaxMarginStatus::optimal);
}

TEST_CASE("an answer is not given up for a worse one", "[max_margin]") {
  // The Gram matrix gives W to rounding, which is not within this tolerance. The ascent that follows begins
  // far away.
  const Dataset<double> data = generate({.n_samples = 6, .n_tokens = 8, .dim = 10});
  const Rows rows = constraint_matrix(data.view(), score_tokens(data.view()));
  const OracleAnswer exact = solve_exactly(rows);
  REQUIRE(exact.separable);
  MaxMarginOptions options;
  options.tolerance = 1e-300;
  for (const std::size_t sweeps : {1, 2, 3, 5, 8}) {
    CAPTURE(sweeps);
    options.max_sweeps = sweeps;
    const MaxMarginResult result = solve_max_margin(data.view(), options);
    REQUIRE(result.status == MaxMarginStatus::max_sweeps);
    CHECK(result.duality_gap <= 1e-12);
    CHECK(result.kkt_residual <= 1e-12);
    const std::vector<Real> w(result.weights.begin(), result.weights.end());
    CHECK(direction_distance(w, exact.weights) <= 1e-6);  // at most the root of the gap
    options.progress = [sweeps](std::size_t now, double, double) { return now < sweeps; };
    const MaxMarginResult stopped = solve_max_margin(data.view(), options);
    CHECK(stopped.status == MaxMarginStatus::interrupted);
    CHECK(stopped.kkt_residual <= 1e-12);
    options.progress = {};
  }
}

TEST_CASE("the callback sees every sweep and can stop", "[max_margin]") {
  const Dataset<double> data = generated(20, 8, 40);
  MaxMarginOptions options;
  std::size_t calls = 0;
  double gap = -1.0, residual = -1.0;
  options.progress = [&](std::size_t sweeps, double g, double r) {
    CHECK(sweeps == ++calls);
    gap = g;
    residual = r;
    return true;
  };
  const MaxMarginResult whole = solve_max_margin(data.view(), options);
  REQUIRE(whole.status == MaxMarginStatus::optimal);
  CHECK(calls == whole.sweeps);
  CHECK(gap <= 2e-10);
  CHECK(residual <= 2e-10);
  for (const std::size_t stop : {std::size_t{1}, std::size_t{5}, whole.sweeps - 1}) {
    options.progress = [stop](std::size_t sweeps, double, double) { return sweeps < stop; };
    const MaxMarginResult result = solve_max_margin(data.view(), options);
    CHECK(result.status == MaxMarginStatus::interrupted);
    CHECK(result.sweeps == stop);
    CHECK(result.weights.size() == 40 * 40);
  }
}

TEST_CASE("few rows are solved in one sweep by their Gram matrix", "[max_margin]") {
  // Those of the published set-up, of the demo's, and as many rows as there may be.
  for (const auto& [n, n_tokens, dim] :
       {std::array<std::size_t, 3>{6, 8, 10}, {10, 6, 60}, {20, 5, 10}, {16, 8, 30}})
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      CAPTURE(n, n_tokens, dim, seed);
      const Dataset<double> data = generated(n, n_tokens, dim, seed);
      MaxMarginOptions options;
      REQUIRE(n * n_tokens <= options.max_gram_rows);
      std::vector<std::size_t> told;
      options.progress = [&](std::size_t sweeps, double, double) {
        told.push_back(sweeps);
        return true;
      };
      const MaxMarginResult result = solve_max_margin(data.view(), options);
      CHECK(result.sweeps == 1);
      CHECK(told == std::vector<std::size_t>{1});
      check_certificate(data.view(), result, 1e-10);
      options.progress = [](std::size_t, double, double) { return false; };
      const MaxMarginResult stopped = solve_max_margin(data.view(), options);
      CHECK(stopped.status == MaxMarginStatus::interrupted);
      CHECK(stopped.sweeps == 1);
      CHECK(stopped.weights.size() == dim * dim);
      // By one row more than there may be the ascent begins.
      options.progress = {};
      options.max_gram_rows = n * n_tokens - 1;
      CHECK(solve_max_margin(data.view(), options).sweeps > 2);
    }
}

TEMPLATE_TEST_CASE("the same bits for any number of threads", "[max_margin]", float, double) {
  // Large enough that the products are split; 37 samples and 150 dimensions do not divide evenly.
  const Dataset<double> wide = generated(37, 70, 150, 2), many = generated(260, 25, 120, 3);
  for (const Dataset<double>* source : {&wide, &many}) {
    const Dataset<TestType> data = convert<TestType>(*source);
    MaxMarginOptions options;
    options.max_sweeps = 40;
    const MaxMarginResult one = solve_max_margin(data.view(), options);
    for (const int n_threads : {2, 3, 0}) {
      CAPTURE(n_threads);
      options.n_threads = n_threads;
      const MaxMarginResult more = solve_max_margin(data.view(), options);
      CHECK(one.weights == more.weights);
      CHECK(one.multipliers == more.multipliers);
      CHECK(one.norm == more.norm);
      CHECK(one.duality_gap == more.duality_gap);
      CHECK(one.kkt_residual == more.kkt_residual);
      CHECK(one.sweeps == more.sweeps);
    }
  }
}
