// The law of each rule, on signal_noise (n=10, T=6, d=60): steepest descent in a norm wins that norm's
// margin, momentum is faster than NGD, what is scale-free never dies.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "core/linalg/svd.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::run;
using softstep::test::signal_noise;

namespace {

struct Problem {
  Dataset<double> data;
  MaxMarginResult limit;
  explicit Problem(std::uint64_t seed) : data(signal_noise(seed)), limit(solve_max_margin(data.view())) {
    REQUIRE(limit.status == MaxMarginStatus::optimal);
  }
  softstep::test::Run<double> operator()(const std::string& rule, std::int64_t n_steps) const {
    return run(data.view(), rule, n_steps, limit.weights);
  }
};

double lp_norm(const std::vector<double>& w, double p) {
  double largest = 0, sum = 0;
  for (const double x : w) largest = std::max(largest, std::fabs(x));
  if (std::isinf(p)) return largest;
  for (const double x : w) sum += std::pow(std::fabs(x) / largest, p);
  return largest * std::pow(sum, 1 / p);
}

struct Margins {
  double frobenius, max, spectral, l175, l3;
};

// Smallest constraint of a run's last W over W's size in each norm.
Margins margins(const Problem& problem, const std::string& rule, std::int64_t n_steps) {
  const auto result = problem(rule, n_steps);
  REQUIRE(result.summary.status == TrainStatus::max_iterations);
  const std::vector<double>& w = result.state.blocks[0];
  const double norm = frobenius_norm(w);
  const double least = normalized_margin(problem.data.view(), score_tokens(problem.data.view()), w) * norm;
  return {least / norm, least / lp_norm(w, std::numeric_limits<double>::infinity()),
          least / singular_values(w, 60, 60)[0], least / lp_norm(w, 1.75), least / lp_norm(w, 3)};
}

double ratio_error(double value, double expected) { return std::fabs(value / expected - 1.0); }

}  // namespace

TEST_CASE("momentum turns to W_mm faster than NGD, with norm(W) growing like t^2", "[trainer]") {
  for (const std::uint64_t seed : {0u, 1u}) {
    const Problem problem(seed);
    const auto momentum = problem("momentum", 1000), ngd = problem("ngd", 1000);
    CHECK(momentum.summary.last.one_minus_cos <= 0.01 * ngd.summary.last.one_minus_cos);
    CHECK(ratio_error(momentum.at(1000).weight_norm / momentum.at(100).weight_norm, 100.0) <= 0.1);
    // q = G/(L - L*) tends to -W_mm/norm(W_mm)^2, v to (t/2) q: norm(W) ~ t^2 / (4 norm(W_mm))
    CHECK(ratio_error(momentum.summary.last.weight_norm, 1e6 / 4 / problem.limit.norm) <= 0.02);
  }
}

TEST_CASE("each rule has the largest margin in its own norm", "[trainer][long]") {
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    INFO("seed " << seed);
    const Problem problem(seed);
    const Margins ngd = margins(problem, "ngd", 1000), sign = margins(problem, "sign", 1000),
                  spectral = margins(problem, "spectral", 1000),
                  below = margins(problem, "mirror:p=1.75", 1000),
                  above = margins(problem, "mirror:p=3", 1000),
                  adam = margins(problem, "adam:step-size=0.01,beta1=0.5,beta2=0.9", 1000);
    for (const Margins& other : {sign, spectral, below, above, adam}) CHECK(ngd.frobenius > other.frobenius);
    for (const Margins& other : {ngd, spectral, below, above}) {
      CHECK(sign.max > other.max);
      CHECK(adam.max > other.max);  // Adam without eps is a kind of sign descent
    }
    for (const Margins& other : {ngd, sign, below, above, adam}) CHECK(spectral.spectral > other.spectral);
    for (const Margins& other : {ngd, sign, spectral, above, adam}) CHECK(below.l175 > other.l175);
    for (const Margins& other : {ngd, sign, spectral, below, adam}) CHECK(above.l3 > other.l3);
    // Muon's singular values are only near 1: better than NGD, not the best.
    CHECK(margins(problem, "muon", 1000).spectral > ngd.spectral);
  }
}

TEST_CASE("without memory signum, nmd and muon_exact are sign, ngd and spectral", "[trainer]") {
  const Problem problem(0);
  for (const auto& [with, without] :
       {std::pair{"signum:beta=0,step-size=0.01", "sign:step-size=0.01"}, std::pair{"nmd:beta=0", "ngd"},
        std::pair{"muon_exact:beta=0,step-size=0.1", "spectral:step-size=0.1"}}) {
    INFO(with);
    const auto a = problem(with, 100), b = problem(without, 100);
    // The mean of one gradient is that gradient on another exponent: a rounding or two an entry and step. The
    // polar factor divides by the smallest singular value that counts, here of the order of the largest.
    CHECK(compare_direction(a.state.blocks[0], b.state.blocks[0]).angle <= 1e-10);
  }
}

TEST_CASE("with memory each goes to the margin of the same norm", "[trainer][long]") {
  const Problem problem(1);
  const Margins ngd = margins(problem, "nmd", 1000), sign = margins(problem, "signum", 1000),
                spectral = margins(problem, "muon_exact:step-size=1", 1000);
  CHECK(ngd.frobenius > std::max(sign.frobenius, spectral.frobenius));
  CHECK(sign.max > std::max(ngd.max, spectral.max));
  CHECK(spectral.spectral > std::max(ngd.spectral, sign.spectral));
}

TEST_CASE("mirror with p = 2 is NGD", "[trainer]") {
  const Problem problem(0);
  const auto mirror = problem("mirror:p=2", 1000), ngd = problem("ngd", 1000);
  const Direction apart = compare_direction(mirror.state.blocks[0], ngd.state.blocks[0]);
  CHECK(apart.angle <= 1e-12);
}

TEST_CASE("Adam's steps do not die with the gradient unless eps > 0", "[trainer]") {
  const Problem problem(0);
  const std::string rule = "adam:step-size=0.01,beta1=0.5,beta2=0.9";
  const auto free = problem(rule, 3000), bound = problem(rule + ",eps=1e-8", 3000);
  CHECK(free.summary.last.log10_gap < -25);
  CHECK(ratio_error(free.at(3000).step_length, free.before(1000).step_length) <= 0.05);
  // With eps steps become those of gradient descent, of length ~ 1/t.
  CHECK(bound.at(3000).step_length <= 0.5 * bound.before(1000).step_length);
  CHECK(bound.summary.last.log10_gap > -12);
  // m/sqrt(v) keeps its size only while the gradient falls more slowly than sqrt(v) forgets: with beta2 near
  // 1 the gap falls by e^-r a step, r below log(1/beta2)/2.
  const auto slow = problem("adam:step-size=0.01,beta2=0.99", 3000);
  const double rate = (slow.before(2000).log10_gap - slow.at(3000).log10_gap) * std::log(10.0) /
                      static_cast<double>(3000 - slow.before(2000).step);
  CHECK(rate <= -0.5 * std::log(0.99));
  CHECK(rate >= -0.4 * std::log(0.99));
}

TEST_CASE("the Polyak step sizes for mini-batches, on the whole batch", "[trainer]") {
  const Problem problem(0);
  const auto fall = [](const softstep::test::Run<double>& r) {
    const TraceRecord &a = r.before(2000), &b = r.at(3000);
    return (a.log10_gap - b.log10_gap) * std::log(10.0) / static_cast<double>(b.step - a.step);
  };
  SECTION("sps without a cap is polyak, bit for bit") {
    CHECK(softstep::test::same_bits(problem("sps:factor=2", 500).state.blocks[0],
                                    problem("polyak", 500).state.blocks[0]));
    CHECK(softstep::test::same_bits(problem("sps_plus", 500).state.blocks[0],
                                    problem("polyak:factor=1", 500).state.blocks[0]));
    CHECK(softstep::test::same_bits(problem("sngd:step-size=2", 500).state.blocks[0],
                                    problem("ngd:step-size=2", 500).state.blocks[0]));
  }
  SECTION("the gap falls by e^(-1/c) a step") {
    CHECK(ratio_error(fall(problem("sps:factor=2", 3000)), 0.5) <= 0.01);
    CHECK(ratio_error(fall(problem("sps_plus", 3000)), 1.0) <= 0.01);
    CHECK(ratio_error(fall(problem("alig", 3000)), 1.0) <= 0.01);
  }
  SECTION("momo's falls by e^-r, r = 1 - beta e^r") {
    // The mean of gradients falling by e^-r is (1 - beta)/(1 - beta e^r) G, the model's height (1 - beta)(L -
    // L*).
    double r = 0.0;
    for (int k = 0; k < 200; ++k) r = 0.5 * (r + std::log((1.0 - r) / 0.9));
    CHECK(ratio_error(fall(problem("momo", 3000)), r) <= 0.01);
  }
  SECTION("decsps turns into gradient descent with eta ~ t^-1/2: |W| ~ norm(W_mm)/2 log t") {
    const auto result = problem("decsps", 10000);
    CHECK(ratio_error(result.at(10000).weight_norm - result.at(1000).weight_norm,
                      0.5 * problem.limit.norm * std::log(10.0)) <= 0.15);
  }
}

TEST_CASE("prgd's radius grows by its factor, and with phases long enough it overtakes NGD", "[trainer]") {
  GeneratorOptions options;
  options.generator = "planar";
  const Dataset<double> data = generate(options);
  const MaxMarginResult limit = solve_max_margin(data.view());
  REQUIRE(limit.status == MaxMarginStatus::optimal);
  const auto prgd = run(data.view(), "prgd:step-size=5,phase=100", 3000, limit.weights);
  const auto ngd = run(data.view(), "ngd", 3000, limit.weights);
  CHECK(prgd.summary.last.one_minus_cos <= 0.1 * ngd.summary.last.one_minus_cos);
  // 100 steps, then a rescaling every 101st: 29 of them by step 3000. The projected steps end on the sphere.
  const double first = run(data.view(), "prgd:step-size=5,phase=100", 100).summary.last.weight_norm;
  CHECK(ratio_error(prgd.summary.last.weight_norm, first * std::pow(1.2, 29)) <= 1e-12);
  // A largest radius ends the growth, between two of its steps too. W that is beyond it is not pulled back:
  // it keeps the norm that it has, to a rounding of W and of the norm a step.
  const double norm_then = first * std::pow(1.2, 2.5);
  const auto norm_after = [&](double largest, std::int64_t n_steps) {
    const std::string rule = "prgd:step-size=5,phase=100,largest-radius=" + std::to_string(largest);
    return run(data.view(), rule, n_steps).summary.last.weight_norm;
  };
  CHECK(ratio_error(norm_after(norm_then, 3000), norm_then) <= 1e-6);  // the digits of to_string()
  CHECK(ratio_error(norm_after(first / 2, 3000), first) <= 2900 * 4 * 0x1p-53);
}
