// Orthogonal tokens of equal norm: W_mm is known, and from W = 0 every rule stays on its ray.
//   W_mm = sum_i (x_i,opt - mean_t x_it) z_i^T / (a^2 |z|^2),  |W_mm|^2 = n (T-1) / (T a^2 |z|^2)

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "support/unit_roundoff.h"
#include "trainer/runs.h"

using namespace softstep;

namespace {

constexpr std::size_t n = 4, n_tokens = 5, dim = 23;
constexpr double a = 1.5;

Dataset<double> orthogonal() {
  GeneratorOptions options;
  options.generator = "orthogonal";
  options.n_samples = n;
  options.n_tokens = n_tokens;
  options.dim = dim;
  options.signal = a;
  options.seed = 3;
  return generate(options);
}

std::vector<double> closed_form(const BatchView<double>& batch) {
  const TokenScores scores = score_tokens(batch);
  std::vector<double> w(dim * dim, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t r = 0; r < dim; ++r) {
      double mean = 0.0;
      for (std::size_t t = 0; t < n_tokens; ++t) mean += batch.sample(i)[t * dim + r] / n_tokens;
      const double difference = batch.sample(i)[scores.optimal[i] * dim + r] - mean;
      for (std::size_t c = 0; c < dim; ++c) w[r * dim + c] += difference * batch.query(i)[c] / std::pow(a, 4);
    }
  return w;
}

}  // namespace

TEST_CASE("the solver finds the closed form", "[trainer]") {
  const Dataset<double> data = orthogonal();
  const std::vector<double> expected = closed_form(data.view());
  const MaxMarginResult result = solve_max_margin(data.view());
  REQUIRE(result.status == MaxMarginStatus::optimal);
  CHECK(std::fabs(result.norm * result.norm * n_tokens * std::pow(a, 4) / (n * (n_tokens - 1)) - 1.0) <=
        1e-9);
  // Duality gap 1e-10 means a squared distance of at most about twice that, relative.
  CHECK(compare_direction(result.weights, expected).one_minus_cos <= 2e-10);
}

TEMPLATE_TEST_CASE("every rule stays on the ray of the closed form", "[trainer]", float, double) {
  const Dataset<double> data = orthogonal();
  const Dataset<TestType> typed = convert<TestType>(data);
  const std::vector<double> reference = closed_form(data.view());
  const double u = softstep::test::unit_roundoff<TestType>;
  const double norm = std::sqrt(n * (n_tokens - 1.0) / (n_tokens * std::pow(a, 4)));
  for (const char* rule : {"gd:step-size=5", "ngd:step-size=1", "polyak"}) {
    INFO(rule);
    const auto result = test::run(typed.view(), rule, 400, reference);
    CHECK(result.summary.status == TrainStatus::max_iterations);
    const double length = result.summary.last.weight_norm;
    // Each gradient points along the ray within 8 u (1 + max|s|), s being proportional to W: |s| <= |W| a^2.
    // Each of 400 additions rounds once more. 1 - cos is half the square of the angle.
    const double angle = 8 * u * (1 + length * a * a) + 400 * u;
    CHECK(result.summary.last.one_minus_cos <= 0.5 * angle * angle);
    if (std::string(rule).starts_with("ngd")) CHECK(std::fabs(length - 400.0) <= 400.0 * 400.0 * 2 * u);
    // On the ray the gap is A e^(-|W| / |W_mm|) up to a factor that tends to 1, so that a Polyak step tends
    // to |W_mm| / 2.
    if (std::string(rule) == "polyak") {
      const double growth = (length - result.at(100).weight_norm) / 300;
      CHECK(std::fabs(growth / (norm / 2) - 1.0) <= 1e-3);
    }
  }
}
