// Samples repeated with a little noise: constraints that depend on each other to all but a few digits.

#include <catch2/catch_test_macros.hpp>
#include <random>

#include "max_margin/both_ways.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "max_margin/oracle.h"
#include "softstep/max_margin.h"

using namespace softstep;
using namespace softstep::test;

namespace {

/// `n` normal samples, `copies` times, each copy with noise of its own.
OwnedBatch<double> repeated(std::size_t n, std::size_t copies, std::size_t n_tokens, std::size_t dim,
                            double jitter, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const std::vector<double> decoder = [&] {
    std::vector<double> out(dim);
    for (double& x : out) x = normal(random);
    return out;
  }();
  std::vector<double> tokens(n * n_tokens * dim);
  for (double& x : tokens) x = normal(random);
  std::vector<double> all;
  std::vector<std::int8_t> labels;
  for (std::size_t c = 0; c < copies; ++c) {
    for (const double x : tokens) all.push_back(x + jitter * normal(random));
    for (std::size_t i = 0; i < n; ++i) labels.push_back(i % 2 == 0 ? std::int8_t{1} : std::int8_t{-1});
  }
  BatchView<double> view;
  view.tokens = all.data();
  view.n_samples = n * copies;
  view.n_tokens = n_tokens;
  view.dim = dim;
  view.labels = labels.data();
  view.decoder = decoder.data();
  return OwnedBatch<double>(view);
}

}  // namespace

TEST_CASE("near-duplicate samples are solved to the tolerance", "[max_margin]") {
  for (const double jitter : {1e-9, 1e-7, 1e-6, 1e-5, 1e-4})
    for (unsigned seed = 1; seed <= 4; ++seed) {
      CAPTURE(jitter, seed);
      const OwnedBatch<double> data = repeated(6, 20, 4, 8, jitter, seed);
      const MaxMarginResult result = solve_both_ways(data.view());
      check_certificate(data.view(), result, 1e-10);
      // An exact finish: the ascent alone stalls after thousands.
      CHECK(result.sweeps <= 1500);
    }
}

TEST_CASE("near-duplicate samples agree with the exact method", "[max_margin]") {
  for (const double jitter : {1e-8, 1e-6, 1e-4})
    for (unsigned seed = 1; seed <= 3; ++seed) {
      CAPTURE(jitter, seed);
      const OwnedBatch<double> data = repeated(3, 5, 3, 4, jitter, seed);
      CHECK(agrees_with_oracle(constraint_matrix(data.view(), score_tokens(data.view())), 16, 4,
                               solve_both_ways(data.view()), 1e-10));
    }
}

TEST_CASE("the callback sees every sweep of the finish and can stop it", "[max_margin]") {
  const OwnedBatch<double> data = repeated(6, 20, 4, 8, 1e-7, 1);
  MaxMarginOptions options;
  std::size_t calls = 0;
  options.progress = [&](std::size_t sweeps, double, double) {
    CHECK(sweeps == ++calls);
    return true;
  };
  const MaxMarginResult whole = solve_max_margin(data.view(), options);
  REQUIRE(whole.status == MaxMarginStatus::optimal);
  REQUIRE(whole.sweeps > 260);  // the finish begins at 256
  CHECK(calls == whole.sweeps);
  for (const std::size_t stop : {std::size_t{258}, whole.sweeps - 1}) {
    options.progress = [stop](std::size_t sweeps, double, double) { return sweeps < stop; };
    const MaxMarginResult result = solve_max_margin(data.view(), options);
    CHECK(result.status == MaxMarginStatus::interrupted);
    CHECK(result.sweeps == stop);
    CHECK(result.weights.size() == 64);
    options.progress = {};
    options.max_sweeps = stop;
    const MaxMarginResult out = solve_max_margin(data.view(), options);
    CHECK(out.status == MaxMarginStatus::max_sweeps);
    CHECK(out.sweeps == stop);
    options.max_sweeps = MaxMarginOptions{}.max_sweeps;
  }
}

TEST_CASE("a long finish asks the callback between its sweeps", "[max_margin]") {
  // Some 1000 rows of 48 x 48 numbers are made orthogonal before the first product: two thousand million
  // multiply-adds.
  const OwnedBatch<double> data = repeated(40, 12, 4, 48, 1e-7, 1);
  MaxMarginOptions options;
  std::size_t last = 0, between = 0;
  options.progress = [&](std::size_t sweeps, double, double) {
    between += sweeps == last;
    last = sweeps;
    return between < 3;
  };
  const MaxMarginResult result = solve_max_margin(data.view(), options);
  CHECK(result.status == MaxMarginStatus::interrupted);
  CHECK(between == 3);
}
