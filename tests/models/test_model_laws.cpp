// What must come out of training models, whatever the seed: laws that need no constants.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "models/model_runs.h"
#include "trainer/runs.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double log10_e = 0.43429448190325182765;

template <class T>
std::vector<double> decoder_limit(const BatchView<T>& batch) {
  const std::vector<T> points = optimal_tokens(batch);
  const MaxMarginResult limit =
      solve_linear_max_margin(points, std::span(batch.labels, batch.n_samples), batch.dim);
  REQUIRE(limit.status == MaxMarginStatus::optimal);
  return limit.weights;
}

// log(-log L) against log t over the rows of a trace.
double loss_exponent(const TracedRun& run, double from, double to) {
  std::vector<double> x, y;
  for (const TraceRecord& row : run.trace) {
    const auto t = static_cast<double>(row.step);
    if (t < from || t > to) continue;
    x.push_back(std::log(t));
    y.push_back(std::log(-row.log10_loss));
  }
  REQUIRE(x.size() >= 20);
  return slope_of(x, y);
}

void require_finite(const TracedRun& run) {
  for (const TraceRecord& row : run.trace) {
    if (row.step == 0) continue;
    for (const double x : {row.loss, row.log10_loss, row.log10_gap, row.weight_norm, row.log10_gradient_norm,
                           row.one_minus_cos, row.others.at(0).norm, row.others.at(0).log10_gradient_norm,
                           row.others.at(0).one_minus_cos})
      if (!std::isfinite(x)) FAIL("a value is not finite at step " << row.step);
  }
}

template <class T>
TracedRun joint_run(const BatchView<T>& batch, const std::string& rules, std::int64_t n_steps,
                    const MaxMarginResult& limit) {
  BatchView<T> undecided = batch;
  undecided.decoder = nullptr;
  const auto model = make_attention_model(undecided, joint_options());
  auto state = normal_state<T>(*model, 0.0, 0);
  TrainerOptions options = model_options(rules, n_steps);
  options.references = {limit.weights, decoder_limit(batch)};
  const TracedRun run = run_model(*model, state, options);
  REQUIRE(run.summary.status == TrainStatus::max_iterations);
  require_finite(run);
  return run;
}

// Sum_k (k+1)^(-2/3) over t steps is 3 t^(1/3) up to a constant, and so are norm(u), the margin and -log L:
// their local exponent is 1/3 + O(t^(-1/3)), within 0.03 from t = 1e3 on.
template <class T>
void check_joint(std::uint64_t seed, const char* w_rule, std::int64_t n_steps) {
  const Dataset<double> data = signal_noise(seed);
  const MaxMarginResult limit = solve_max_margin(data.view());
  REQUIRE(limit.status == MaxMarginStatus::optimal);
  const Dataset<T> typed = convert<T>(data);
  const auto last_step = static_cast<double>(n_steps);
  INFO("seed " << seed << ", W by ngd:" << w_rule);
  const TracedRun run = joint_run(
      typed.view(), std::string("ngd:") + w_rule + ";ngd:step-size=1,schedule-power=0.66666666666666667",
      n_steps, limit);
  const double exponent = loss_exponent(run, 1e3, last_step);
  INFO("exponent " << exponent);
  CHECK(std::fabs(exponent - 1.0 / 3.0) <= 0.03);
  const TraceRecord &last = run.summary.last, &early = run.at(1000);
  INFO("u: 1 - cos " << early.others[0].one_minus_cos << " -> " << last.others[0].one_minus_cos
                     << ", W: " << early.one_minus_cos << " -> " << last.one_minus_cos << ", norms "
                     << last.others[0].norm << ", " << last.weight_norm);
  CHECK(last.others[0].one_minus_cos <= 0.01);
  CHECK(last.others[0].one_minus_cos < early.others[0].one_minus_cos);
  CHECK(last.one_minus_cos < early.one_minus_cos);
  // norm(u) / (3 t^(1/3)) -> 1 from below: steps turn at first.
  CHECK(std::fabs(last.others[0].norm / (3.0 * std::cbrt(last_step)) - 1.0) <= 0.05);
}

// With eta_W = eta / (t+1) norm(W) is eta log t at most: the attention is saturated over the window, and the
// law seen, for an eta of some units.
const char* const slow_w = "step-size=5,schedule-power=1";
const char* const fast_w = "step-size=1,schedule-power=0.66666666666666667";

}  // namespace

TEST_CASE("joint NGD: -log L grows like t^(1/3), u tends to u_mm and W to W_mm", "[models]") {
  for (const char* w_rule : {slow_w, fast_w}) check_joint<double>(1, w_rule, 100000);
}

TEMPLATE_TEST_CASE("joint NGD obeys its law on more data", "[models][long]", float, double) {
  for (const std::uint64_t seed : {1, 2, 3})
    for (const char* w_rule : {slow_w, fast_w}) check_joint<TestType>(seed, w_rule, 100000);
}

TEST_CASE("joint NGD is finite at a million steps", "[models][long]") {
  const Dataset<double> data = signal_noise(4);
  const MaxMarginResult limit = solve_max_margin(data.view());
  for (const char* rules :
       {"ngd:step-size=5,schedule-power=1;ngd:step-size=1,schedule-power=0.66666666666666667",
        "ngd:step-size=1"}) {
    const TracedRun run = joint_run(data.view(), rules, 1000000, limit);
    CHECK(run.summary.last.others[0].one_minus_cos <= 0.01);
  }
}

TEMPLATE_TEST_CASE("logistic regression on separable points obeys the laws of the analogy", "[models]", float,
                   double) {
  using T = TestType;
  for (const std::uint64_t seed : {1, 2}) {
    GeneratorOptions generator;
    generator.generator = "separable";
    generator.n_samples = 20;
    generator.dim = 8;
    generator.seed = seed;
    generator.noise = 1.0;
    generator.signal = 0.5;
    const Dataset<double> made = generate(generator);
    const MaxMarginResult limit =
        solve_linear_max_margin(std::span(made.view().tokens, 20 * 8), std::span(made.view().labels, 20), 8);
    REQUIRE(limit.status == MaxMarginStatus::optimal);
    const Dataset<T> data = convert<T>(made);
    const auto model = make_linear_model(data.view());
    const auto go = [&](const char* rule, std::int64_t n_steps) {
      // Steps of 0.05 on weights of some thousands are a hundred roundings of float32 long.
      auto state = normal_state<T>(*model, 0.0, 0, MasterWeights::float64);
      TrainerOptions options = model_options(rule, n_steps);
      options.references = {limit.weights};
      return run_model(*model, state, options);
    };
    INFO("seed " << seed);
    // GD: L ~ 1/t and norm(w) ~ norm(w_mm) log t; over a factor of ten in t the constants drop out.
    const TracedRun gd = go("gd:step-size=1", 100000);
    const TraceRecord &g4 = gd.at(10000), &g5 = gd.at(100000);
    CHECK(std::fabs((g5.weight_norm - g4.weight_norm) / (limit.norm * std::log(10.0)) - 1.0) <= 0.05);
    CHECK(std::fabs((g5.log10_loss - g4.log10_loss) + 1.0) <= 0.05);
    // NGD with steps that do not bounce between the support vectors: norm(w) = eta t.
    const double eta = 0.05;
    const TracedRun ngd = go("ngd:step-size=0.05", 100000);
    const TraceRecord &n4 = ngd.at(10000), &n5 = ngd.at(100000);
    CHECK(std::fabs(n5.weight_norm / (eta * 1e5) - 1.0) <= 0.01);
    // -log L = norm(w) / norm(w_mm) and angle = D / norm(w) for both normalised rules, with one D; it is
    // reached as e^(-slack norm(w) / norm(w_mm)).
    const TracedRun polyak = go("polyak", 100000);
    for (const TraceRecord& row : {n5, polyak.summary.last})
      CHECK(std::fabs(-row.log10_loss / (log10_e * row.weight_norm / limit.norm) - 1.0) <= 0.01);
    CHECK(std::fabs(n5.angle * n5.weight_norm / (n4.angle * n4.weight_norm) - 1.0) <= 0.1);
    CHECK(
        std::fabs(polyak.summary.last.angle * polyak.summary.last.weight_norm / (n5.angle * n5.weight_norm) -
                  1.0) <= 0.1);
    CHECK(polyak.summary.last.accuracy == 1.0);
  }
}

TEMPLATE_TEST_CASE("a trained prompt tends to the max-margin prompt", "[models]", float, double) {
  using T = TestType;
  const Dataset<double> made = signal_noise(2);
  const BatchView<double>& batch = made.view();
  const TokenScores scores = score_tokens(batch);
  std::vector<double> differences;  // (x_opt - x_t)^T p >= 1
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.n_tokens; ++t)
      for (std::size_t j = 0; j < batch.dim && t != scores.optimal[i]; ++j)
        differences.push_back(batch.sample(i)[scores.optimal[i] * batch.dim + j] -
                              batch.sample(i)[t * batch.dim + j]);
  const std::size_t n = differences.size() / batch.dim;
  const std::vector<std::int8_t> labels(n, 1);
  const MaxMarginResult limit = solve_linear_max_margin(differences, labels, batch.dim);
  REQUIRE(limit.status == MaxMarginStatus::optimal);
  const Dataset<T> data = convert<T>(made);
  AttentionOptions kind;
  kind.key_query = KeyQuery::prompt;
  const auto model = make_attention_model(data.view(), kind);
  auto state = normal_state<T>(*model, 0.0, 0);
  TrainerOptions options = model_options("ngd:step-size=1", 10000);
  options.references = {limit.weights};
  const TracedRun run = run_model(*model, state, options);
  const TraceRecord &half = run.at(1000), &last = run.summary.last;
  CHECK(last.one_minus_cos <= 1e-5);
  CHECK(std::fabs(last.angle * last.weight_norm / (half.angle * half.weight_norm) - 1.0) <= 0.1);
  CHECK(std::fabs(-last.log10_gap / (log10_e * last.weight_norm / limit.norm) - 1.0) <= 0.03);
}
