// Every form of the weights takes the same trajectory: dense in both layouts, query span, token span.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/reference/error_bounds.h"
#include "layer/exact_objective.h"
#include "support/batches.h"
#include "support/isas.h"
#include "trainer/forms_check.h"
#include "trainer/runs.h"

using namespace softstep;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using softstep::test::direction_distance;
using softstep::test::Exact;
using softstep::test::first_step_bound;
using softstep::test::first_step_distance;
using softstep::test::for_each_isa;
using softstep::test::Layout;
using softstep::test::run;
using softstep::test::same_bits;
using softstep::test::signal_noise;
using softstep::test::TestBatch;
using softstep::test::Toward;

namespace {

constexpr Form forms[] = {Form::dense, Form::query_span, Form::token_span};

}  // namespace

TEMPLATE_TEST_CASE("the norm of a gradient whose terms cancel is right in every form", "[trainer]", float,
                   double) {
  // Two samples of the same tokens x and -x with opposite labels: at W = 0 their rows are g and -g, and their
  // queries differ by a part delta, so that |G| = |g| |z| delta. Its square from inner products would err by
  // some epsilon |g|^2 |z|^2.
  using T = TestType;
  constexpr T epsilon = std::numeric_limits<T>::epsilon();
  constexpr std::size_t d = 400;
  const T delta = T(4) * std::sqrt(epsilon);
  std::mt19937_64 random(1);
  const auto sign = [&] { return random() % 2 == 0 ? T(1) : T(-1); };
  DatasetParts<T> parts{
      2, 2, d, std::vector<T>(4 * d), {}, {1, -1}, std::vector<T>(d), {}, std::vector<T>(2 * d)};
  for (std::size_t j = 0; j < d; ++j) {
    const T x = T(1.9) * sign(), z = T(1.9) * sign();
    parts.decoder[j] = x / static_cast<T>(d);
    for (std::size_t i = 0; i < 2; ++i) {
      parts.tokens[2 * i * d + j] = x;
      parts.tokens[(2 * i + 1) * d + j] = -x;
    }
    parts.queries[j] = z;
    parts.queries[d + j] = z * (T(1) + delta * sign());
  }
  const Dataset<T> data = make_dataset(std::move(parts));
  const Dataset<double> exact = convert<double>(data);
  const std::vector<double> zero(d * d, 0.0);
  AttentionModel<double> model(exact.view());
  Evaluation<double> expected;
  model.evaluate(zero, expected);
  const double log10_norm = expected.gradients[0].norm_scaled().log10();
  for (const Form form : forms) {
    INFO(to_string(form));
    AttentionModel<T> model_of_form(data.view());
    auto state = initial_state(model_of_form);
    TrainerOptions options;
    options.rules = {parse_rule("gd:step-size=1e-3")};
    options.form = form;
    options.n_steps = 0;
    const TrainSummary summary = train(model_of_form, state, options);
    // Rows err by (16 T + 30) u of themselves, u = epsilon / 2, and the products by a few; all relative to 2
    // / delta times the norm.
    const double bound = (16.0 * 2 + 40) * epsilon / static_cast<double>(delta);
    CHECK(std::fabs(std::pow(10.0, summary.last.log10_gradient_norm - log10_norm) - 1.0) <= bound);
  }
}

TEMPLATE_TEST_CASE("the gradient of a span form keeps the bound of the dense one at norms to 1e6",
                   "[trainer]", float, double) {
  using T = TestType;
  const std::vector<Layout> layouts = {{{5, 5, 5, 5}, 20, 0, false},
                                       {{3, 7, 1, 4}, 9, 2, true, false, true},
                                       {{4, 4, 4}, 6, 3, false, true},
                                       {std::vector<std::size_t>(20, 3), 40, 0, true}};
  // With the second scale some tokens and queries have the unit 1, and others the next one (units.h).
  const double between_units = 1.05 * (sizeof(T) == sizeof(float) ? 0x1p-15 : 0x1p-127);
  std::uint64_t seed = 0;
  for (const Layout& layout : layouts)
    for (const double scale : {1.0, between_units})
      for (const double norm : {0.0, 10.0, 1e3, 1e6})
        for (const Toward toward : {Toward::optimal, Toward::other}) {
          const TestBatch<T> batch(layout, ++seed, scale);
          const auto weights = weights_toward(batch.view, toward, norm / (scale * scale));
          const softstep::test::ExactObjective<T> exact(batch.view, weights, Loss::logistic);
          if (exact.gradient_norm == 0) continue;
          std::vector<double> unit;
          for (const Exact& g : exact.gradient)
            unit.push_back(static_cast<double>(Exact(-g / exact.gradient_norm)));
          const double bound = first_step_bound(batch.view, exact);
          for_each_isa([&](const simd::Isa& isa) {
            AttentionOptions how;
            how.isa = isa.name;
            for (const Form form : {Form::query_span, Form::token_span}) {
              INFO(isa.name << ' ' << to_string(form) << " norm " << norm << " scale " << scale << " seed "
                            << seed);
              REQUIRE(first_step_distance(batch.view, weights, form, how, unit) <= bound);
            }
          });
        }
}

TEMPLATE_TEST_CASE("dense, query span and token span take the same trajectory", "[trainer]", float, double) {
  using T = TestType;
  const double u = softstep::test::unit_roundoff<T>;
  struct Case {
    std::size_t n, n_tokens, dim;
  };
  // Small ones have the sample index last, the long ones have not; fewer and more samples than dimensions,
  // and so few that a dense run does without the gradient.
  for (const Case& size : {Case{10, 6, 60}, Case{20, 5, 30}, Case{9, 70, 40}, Case{8, 30, 130}}) {
    const Dataset<T> data = convert<T>(signal_noise(3, size.n, size.n_tokens, size.dim));
    for (const char* rule : {"gd:step-size=20", "ngd:step-size=1", "polyak"}) {
      TrainerOptions options;
      options.form = Form::dense;
      const auto dense = run(data.view(), rule, 300, {}, {}, options);
      CHECK(dense.summary.form == Form::dense);
      for (const Form form : {Form::query_span, Form::token_span}) {
        options.form = form;
        const auto other = run(data.view(), rule, 300, {}, {}, options);
        INFO(rule << ' ' << to_string(form) << " d = " << size.dim);
        CHECK(other.summary.form == form);
        // A perturbation of the scores by delta turns the gradient by 2 delta; steps of one length, 300 of
        // them, each with scores that err by (2 d + 2) u |x| |W| |z|, make no more than that on average of
        // |W|: 2 (2 d + 2) u |W|.
        const double norm = dense.summary.last.weight_norm;
        const double bound = 4.0 * (static_cast<double>(size.dim + size.n) + 2.0) * u * (1.0 + norm);
        CHECK(direction_distance(dense.state.blocks[0], other.state.blocks[0]) <= bound);
        CHECK(std::fabs(other.summary.last.weight_norm / norm - 1.0) <= bound);
        CHECK(std::fabs(other.summary.last.log10_gap - dense.summary.last.log10_gap) <=
              bound * (1.0 + std::fabs(dense.summary.last.log10_gap)));
        CHECK(other.trace.size() == dense.trace.size());
      }
    }
  }
}

TEMPLATE_TEST_CASE(
    "a run in any form goes on with the bits of an uninterrupted one, for any number of threads", "[trainer]",
    float, double) {
  using T = TestType;
  // Large enough that threads start in every form.
  constexpr std::size_t n = 24, n_tokens = 75, d = 280;
  const Dataset<T> data = convert<T>(signal_noise(5, n, n_tokens, d));
  std::vector<double> start(d * d);
  for (std::size_t k = 0; k < start.size(); ++k) start[k] = std::sin(static_cast<double>(k));
  std::vector<T> dense;  // the first of the forms
  for (const Form form : forms) {
    INFO(to_string(form));
    TrainerOptions options;
    options.rules = {parse_rule("ngd:step-size=1")};
    options.form = form;
    AttentionModel<T> model(data.view());
    auto whole = initial_state(model, {start});
    options.n_steps = 100;
    const TrainSummary summary = train(model, whole, options);
    if (dense.empty()) dense = whole.blocks[0];
    // As above, from weights that are not zero.
    CHECK(direction_distance(dense, whole.blocks[0]) <=
          4.0 * (d + n + 2.0) * softstep::test::unit_roundoff<T> * (1.0 + summary.last.weight_norm));
    for (const int n_threads : {1, 2, 3}) {
      AttentionOptions how;
      how.n_threads = n_threads;
      AttentionModel<T> threaded(data.view(), how);
      auto parts = initial_state(threaded, {start});
      for (const int steps : {1, 62, 0, 37}) {
        options.n_steps = steps;
        options.form = parts.step == 0 ? form : Form::automatic;  // a run keeps its form
        const TrainSummary part = train(threaded, parts, options);
        CHECK(part.form == form);
        CHECK(part.threads_used == n_threads);
      }
      options.form = form;
      CHECK(same_bits(parts.blocks[0], whole.blocks[0]));
      CHECK(same_bits(parts.span.coefficients, whole.span.coefficients));
      CHECK(same_bits(parts.span.projected, whole.span.projected));
    }
  }
}

TEMPLATE_TEST_CASE("queries that repeat and gradients that cancel leave a span form right", "[trainer]",
                   float, double) {
  // Two samples with one query and mirrored tokens: at W = 0 their gradients cancel but for rounding; with a
  // third, small one the norm is that of what is left.
  using T = TestType;
  DatasetParts<T> parts;
  parts.n_samples = 3;
  parts.n_tokens = 2;
  parts.dim = 2;
  const T small = static_cast<T>(1e-3);
  parts.tokens = {1, T(0.5), -1, T(-0.5), 1, T(0.5), -1, T(-0.5), small, 0, 0, small};
  parts.labels = {1, 1, 1};
  parts.decoder = {1, 0};
  parts.queries = {1, 1, -1, -1, 0, 1};
  const Dataset<T> data = make_dataset(parts);
  TrainerOptions options;
  options.form = Form::dense;
  const auto dense = run(data.view(), "ngd:step-size=1", 1, {}, {}, options);
  for (const Form form : {Form::query_span, Form::token_span}) {
    INFO(to_string(form));
    options.form = form;
    const auto other = run(data.view(), "ngd:step-size=1", 1, {}, {}, options);
    CHECK(std::fabs(other.trace.front().log10_gradient_norm - dense.trace.front().log10_gradient_norm) <=
          1e5 * softstep::test::unit_roundoff<T>);
    CHECK(std::fabs(other.summary.last.weight_norm - 1.0) <= 1e4 * softstep::test::unit_roundoff<T>);
  }
}

TEST_CASE("weights set by hand are where a span run goes on from", "[trainer]") {
  const Dataset<double> data = signal_noise(1);
  AttentionModel<double> model(data.view());
  for (const Form form : {Form::query_span, Form::token_span}) {
    TrainerOptions options;
    options.form = form;
    options.n_steps = 10;
    auto state = initial_state(model);
    train(model, state, options);
    std::fill(state.blocks[0].begin(), state.blocks[0].end(), 0.25);
    auto fresh = initial_state(model, {state.blocks[0]});
    fresh.step = state.step;
    options.n_steps = 1;
    train(model, state, options);
    train(model, fresh, options);
    INFO(to_string(form));
    CHECK(same_bits(state.blocks[0], fresh.blocks[0]));
  }
}

TEST_CASE("a form that cannot be is refused, and the choice fits the shape", "[trainer]") {
  const Dataset<float> data = convert<float>(signal_noise(0));
  AttentionModel<float> model(data.view());
  TrainerOptions options;
  options.form = Form::query_span;
  options.master_weights = MasterWeights::float64;
  auto state = initial_state(model, {}, MasterWeights::float64);
  CHECK_THROWS_MATCHES(
      train(model, state, options), InvalidArgument,
      MessageMatches(ContainsSubstring("form") && ContainsSubstring("float64 master weights")));
  options.form = Form::automatic;
  options.n_steps = 1;
  CHECK(train(model, state, options).form == Form::dense);
  CHECK_THROWS_MATCHES(parse_form("sparse"), InvalidArgument,
                       MessageMatches(ContainsSubstring("query-span")));

  // d^2 large: W is not formed; many samples of few dimensions: it is.
  const auto chosen = [](std::size_t n, std::size_t n_tokens, std::size_t dim) {
    const auto result = run(signal_noise(0, n, n_tokens, dim).view(), "ngd", 1);
    return result.summary.form;
  };
  CHECK(chosen(8, 4, 300) == Form::token_span);
  CHECK(chosen(300, 10, 8) == Form::dense);
}
