// Constraints of very different length.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "max_margin/both_ways.h"
#include "max_margin/cases.h"
#include "max_margin/certificate_check.h"
#include "softstep/dataset.h"
#include "softstep/error.h"
#include "softstep/max_margin.h"

using namespace softstep;
using namespace softstep::test;

TEMPLATE_TEST_CASE("orthogonal samples from 1e-6 to 1e6", "[max_margin]", float, double) {
  // Samples that share no direction are solved one by one: ||W_mm||^2 = sum_i (T-1) / (T a_i^2 |z_i|^2).
  GeneratorOptions options;
  options.generator = "orthogonal";
  options.n_samples = 7;
  options.n_tokens = 3;
  options.dim = 21;
  const Dataset<TestType> data = convert<TestType>(generate(options));
  OwnedBatch<TestType> scaled(data.view());
  double squared = 0.0;
  for (std::size_t i = 0; i < 7; ++i) {
    const double a = std::pow(10.0, 2.0 * static_cast<double>(i) - 6.0);
    for (std::size_t j = 0; j < 3 * 21; ++j) scaled.token(i, 0)[j] *= static_cast<TestType>(a);
    squared += 2.0 / 3.0 / (a * a);
  }
  const MaxMarginResult result = solve_both_ways(scaled.view());
  REQUIRE(result.status == MaxMarginStatus::optimal);
  CHECK(result.duality_gap <= 1e-10);
  CHECK(result.kkt_residual <= 1e-10);
  const double unit = std::is_same_v<TestType, float> ? 0x1p-24 : 0x1p-53;
  CHECK(std::fabs(result.norm / std::sqrt(squared) - 1.0) <= 1e-10 + 32 * unit);
}

TEST_CASE("samples that interfere, from 1e-3 to 1e3", "[max_margin]") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    CAPTURE(seed);
    GeneratorOptions options;
    options.n_samples = 13;
    options.n_tokens = 6;
    options.dim = 25;
    options.seed = seed;
    const Dataset<double> data = generate(options);
    OwnedBatch<double> scaled(data.view());
    for (std::size_t i = 0; i < 13; ++i) {
      const double a = std::pow(10.0, 0.5 * static_cast<double>((5 * i) % 13) - 3.0);
      for (std::size_t j = 0; j < 6 * 25; ++j) scaled.token(i, 0)[j] *= a;
    }
    check_certificate(scaled.view(), solve_both_ways(scaled.view()), 1e-10);
  }
}

TEST_CASE("samples of very different size are finished on their face", "[max_margin]") {
  // The ascent alone takes up to 1700 sweeps for these; the exact finish corrects what rounding leaves of W
  // on the face.
  struct Case {
    double decades;
    std::uint64_t seed;
  };
  for (const auto& [decades, seed] : {Case{4, 0}, Case{8, 2}, Case{8, 4}}) {
    CAPTURE(decades, seed);
    GeneratorOptions options;
    options.n_samples = 6;
    options.n_tokens = 4;
    options.dim = 8;
    options.seed = seed;
    const Dataset<double> data = generate(options);
    OwnedBatch<double> scaled(data.view());
    for (std::size_t i = 0; i < 6; ++i)
      for (std::size_t j = 0; j < 4 * 8; ++j)
        scaled.token(i, 0)[j] *= std::pow(10.0, decades * (1.0 - 0.4 * static_cast<double>(i)));
    const MaxMarginResult result = solve_both_ways(scaled.view());
    CHECK(result.status == MaxMarginStatus::optimal);
    CHECK(result.sweeps <= 600);
  }
}

TEST_CASE("beyond the digits of double the ending says so", "[max_margin]") {
  // Twelve orders of magnitude between samples that interfere: <A_k, W> of the longest is not known to 1e-10.
  // Whatever the answer, it is marked optimal only if its certificate is within the tolerance, and no NaN
  // comes out.
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    CAPTURE(seed);
    GeneratorOptions options;
    options.n_samples = 13;
    options.n_tokens = 6;
    options.dim = 25;
    options.seed = seed;
    const Dataset<double> data = generate(options);
    OwnedBatch<double> scaled(data.view());
    for (std::size_t i = 0; i < 13; ++i)
      for (std::size_t j = 0; j < 6 * 25; ++j)
        scaled.token(i, 0)[j] *= std::pow(10.0, static_cast<double>((5 * i) % 13) - 6.0);
    MaxMarginOptions solver;
    solver.max_sweeps = 30000;
    const MaxMarginResult result = solve_max_margin(scaled.view(), solver);
    CHECK((result.status == MaxMarginStatus::optimal || result.status == MaxMarginStatus::max_sweeps ||
           result.status == MaxMarginStatus::at_rounding));
    const bool within = result.duality_gap <= solver.tolerance && result.kkt_residual <= solver.tolerance;
    CHECK(within == (result.status == MaxMarginStatus::optimal));
    CHECK(result.kkt_residual <= 1e-6);
    CHECK(std::isfinite(result.norm));
    for (const double w : result.weights) REQUIRE(std::isfinite(w));
  }
}

TEST_CASE("lengths that leave the range of double are refused", "[max_margin]") {
  const double huge = 1e308;
  const PairBatch<double> far({1, 0}, {{1, 0}}, {{1, 0}});
  OwnedBatch<double> apart(far.view);
  apart.decoder = {1e-300, 0};
  apart.token(0, 0)[0] = huge;
  apart.token(0, 1)[0] = -huge;
  CHECK_THROWS_AS(solve_max_margin(apart.view()), InvalidArgument);
  const PairBatch<double> tiny({1, 0}, {{1e-200, 0}}, {{1e-200, 0}});
  CHECK_THROWS_AS(solve_max_margin(tiny.view), InvalidArgument);
  const PairBatch<double> balanced({1, 0}, {{1e-200, 0}}, {{1e200, 0}});
  const MaxMarginResult result = solve_both_ways(balanced.view);
  REQUIRE(result.status == MaxMarginStatus::optimal);
  CHECK(std::fabs(result.norm - 1.0) <= 1e-12);
}
