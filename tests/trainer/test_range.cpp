// Data of any size: tokens times 2^a, queries times 2^b and the decoder times 2^-a leave the token scores,
// hence the loss, as they are, and multiply gradients by 2^(a + b). W goes with 2^-(a + b), which leaves the
// scores x^T W z as they are, if
//   ngd, sign, adam    the step size goes with 2^-(a + b): a step is of that length whatever the gradient
//   polyak             always: (L - L*) / |G|^2 G goes with 2^-(a + b)
//   gd                 the step size goes with 2^-2(a + b)
// A power of two commutes with every rounding as long as no number leaves the range of normal ones, and the
// first group sees no logarithm of the gradient's size: equal bits. The others multiply by e^C, whose
// exponent is rounded.
//
// Where token scores are below the rounding unit the slope of the loss is that of a zero margin to the bit:
// then the decoder may have any size, and ngd takes the same steps.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/unit_roundoff.h"
#include "trainer/layouts.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::data_of;
using softstep::test::Powers;
using softstep::test::same_bits;
using softstep::test::Shape;
using softstep::test::shapes;

namespace {

template <class T>
struct Result {
  TrainSummary summary;
  std::vector<T> weights;
};

template <class T>
Result<T> steps_of(const Shape& shape, const Powers& powers, const std::string& rule, double step_size,
                   std::int64_t n_steps, Form form, const std::vector<double>& start = {}) {
  const Dataset<T> data = data_of<T>(shape, powers);
  const AttentionModel<T> model(data.view());
  auto state = start.empty() ? initial_state(model) : initial_state(model, {start});
  TrainerOptions options;
  options.rules[0].rule = rule;
  if (step_size > 0.0) options.rules[0].options["step-size"] = step_size;
  options.n_steps = n_steps;
  options.form = form;
  Result<T> out;
  out.summary = train(model, state, options);
  out.weights = state.blocks[0];
  return out;
}

template <class T>
std::vector<T> scaled(std::vector<T> w, int power) {
  for (T& x : w) x = std::scalbn(x, power);
  return w;
}

double log10_power(int power) { return power * std::log10(2.0); }

// Powers of tokens and queries. W itself, 2^-(a + b), stays well inside of the type.
template <class T>
std::vector<Powers> all_powers() {
  const int most = sizeof(T) == 4 ? 60 : 500, most_of_weights = sizeof(T) == 4 ? 84 : 900;
  std::vector<Powers> out;
  for (const int a : {-most, -most / 3, -1, 0, most / 2, most})
    for (const int b : {-most, -7, 0, most / 4, most})
      if (std::abs(a + b) <= most_of_weights) out.push_back({a, b, -a});
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("powers of two in tokens, queries and decoder change no bit of a normalised run",
                   "[trainer]", float, double) {
  using T = TestType;
  constexpr std::int64_t n_steps = 70;  // past the refreshes of the span forms
  const bool from_zero = GENERATE(true, false);
  for (const Shape& shape : shapes) {
    std::vector<double> start(from_zero ? 0 : shape.dim * shape.dim);
    for (std::size_t k = 0; k < start.size(); ++k)
      start[k] = static_cast<double>(k * 37 % 101) / 128.0 - 0.375;
    const auto expected = steps_of<T>(shape, {0, 0, 0}, "ngd", 1.0, n_steps, shape.form, start);
    REQUIRE(expected.summary.steps == n_steps);
    for (const Powers& powers : all_powers<T>()) {
      const int shift = powers.tokens + powers.queries;
      INFO(shape.name << ": tokens 2^" << powers.tokens << ", queries 2^" << powers.queries);
      const auto got = steps_of<T>(shape, powers, "ngd", std::ldexp(1.0, -shift), n_steps, shape.form,
                                   scaled(start, -shift));
      CHECK(got.summary.status == expected.summary.status);
      CHECK(same_bits(scaled(got.weights, shift), expected.weights));
      CHECK(got.summary.last.loss == expected.summary.last.loss);
      CHECK(got.summary.last.log10_gap == expected.summary.last.log10_gap);
      // The logarithm of |G| is rounded at its own size, and so is the power's: four roundings in all.
      const double log10_norm = expected.summary.last.log10_gradient_norm + log10_power(shift);
      CHECK(std::fabs(got.summary.last.log10_gradient_norm - log10_norm) <=
            8.0 * 0x1p-53 *
                (std::fabs(expected.summary.last.log10_gradient_norm) + std::fabs(log10_power(shift)) + 1.0));
    }
  }
}

TEMPLATE_TEST_CASE(
    "powers of two in the data change the steps of rules that use the gradient's size by rounding alone",
    "[trainer]", float, double) {
  using T = TestType;
  for (const Shape& shape : shapes)
    for (const char* rule : {"polyak", "gd"}) {
      const bool is_gd = std::string(rule) == "gd";
      // Polyak's steps grow without bound where a sample is saturated at another token than its best.
      const std::int64_t n_steps = is_gd ? 70 : 8;
      const auto expected = steps_of<T>(shape, {0, 0, 0}, rule, is_gd ? 0.25 : 0.0, n_steps, shape.form);
      REQUIRE(expected.summary.steps == n_steps);
      const double largest_token =
          3.0 * static_cast<double>(shape.dim);  // |x| |z| of normal numbers: about d
      for (const Powers& powers : all_powers<T>()) {
        const int shift = powers.tokens + powers.queries;
        if (is_gd && std::abs(shift) > 400) continue;  // a step size is a double
        INFO(shape.name << ' ' << rule << ": tokens 2^" << powers.tokens << ", queries 2^" << powers.queries);
        const auto got =
            steps_of<T>(shape, powers, rule, is_gd ? std::ldexp(0.25, -2 * shift) : 0.0, n_steps, shape.form);
        REQUIRE(got.summary.status == expected.summary.status);
        // A coefficient errs by eps = u_T, and by the rounding of its exponent, at most 8 |C| 2^-53. Each
        // step then moves W by another eps of itself, all of them by eps |W|; a change of W by that changes
        // scores by eps |W| |x| |z| and turns the next gradient by twice as much, so that the steps after it
        // differ by that much of themselves.
        const double exponent = std::log(10.0) * std::fabs(got.summary.last.log10_gradient_norm) + 10.0;
        const double eps = 2.0 * softstep::test::unit_roundoff<T> + 8.0 * exponent * 0x1p-53;
        const double norm = expected.summary.last.weight_norm;
        const double bound = eps * (1.0 + 2.0 * norm * largest_token);
        const std::vector<T> w = scaled(got.weights, shift);
        double error = 0.0;
        for (std::size_t k = 0; k < w.size(); ++k)
          error = std::hypot(error, static_cast<double>(w[k]) - static_cast<double>(expected.weights[k]));
        CHECK(error <= bound * norm);
      }
    }
}

TEMPLATE_TEST_CASE("token scores of any size below rounding give the same normalised steps", "[trainer]",
                   float, double) {
  using T = TestType;
  constexpr std::int64_t n_steps = 20;
  const int most = sizeof(T) == 4 ? 60 : 500, smallest = sizeof(T) == 4 ? -100 : -900;
  for (const Shape& shape : shapes) {
    const auto expected = steps_of<T>(shape, {0, 0, -70}, "ngd", 1.0, n_steps, shape.form);
    REQUIRE(expected.summary.steps == n_steps);
    for (const int a : {-most, 0, most})
      for (const int decoder : {smallest, smallest / 2, -70}) {
        if (a + decoder > -70) continue;
        INFO(shape.name << ": tokens 2^" << a << ", decoder 2^" << decoder);
        const auto got = steps_of<T>(shape, {a, 0, decoder}, "ngd", std::ldexp(1.0, -a), n_steps, shape.form);
        CHECK(got.summary.status == expected.summary.status);
        CHECK(same_bits(scaled(got.weights, a), expected.weights));
        // Gap and gradient go with the token scores' size.
        const double power = log10_power(a + decoder + 70);
        CHECK(std::fabs(got.summary.last.log10_gap - expected.summary.last.log10_gap - power) <=
              8.0 * 0x1p-53 * (std::fabs(got.summary.last.log10_gap) + std::fabs(power)));
      }
  }
}

// Tokens times a factor, the first of a sample its query; as public reports have them.
namespace {

template <class T>
Dataset<T> normal_tokens(std::size_t n, std::size_t n_tokens, std::size_t dim, double factor) {
  std::mt19937_64 random(2);
  std::normal_distribution<double> normal;
  DatasetParts<T> parts;
  parts.n_samples = n;
  parts.n_tokens = n_tokens;
  parts.dim = dim;
  for (std::size_t k = 0; k < n * n_tokens * dim; ++k)
    parts.tokens.push_back(static_cast<T>(normal(random) * factor));
  for (std::size_t j = 0; j < dim; ++j) parts.decoder.push_back(static_cast<T>(normal(random)));
  for (std::size_t i = 0; i < n; ++i) parts.labels.push_back(random() % 2 == 0 ? 1 : -1);
  return make_dataset(std::move(parts));
}

}  // namespace

TEST_CASE("a span form of float32 keeps what the dense form keeps, whatever the size of the tokens",
          "[trainer]") {
  struct Case {
    std::size_t dim;
    double factor;
    const char* rule;
    Form span;
  };
  for (const Case& c : {Case{300, 1e-11, "polyak", Form::token_span}, Case{300, 3e8, "ngd", Form::token_span},
                        Case{7, 1e-40, "ngd", Form::query_span}, Case{7, 1e15, "polyak", Form::query_span}}) {
    INFO("dim " << c.dim << ", tokens times " << c.factor << ", " << c.rule);
    const Dataset<float> data = normal_tokens<float>(4, 5, c.dim, c.factor);
    TrainerOptions options;
    options.form = Form::dense;
    const auto dense = softstep::test::run(data.view(), c.rule, 20, {}, {}, options);
    REQUIRE(dense.summary.steps == 20);
    for (const Form form : {c.span, Form::automatic}) {
      options.form = form;
      const auto span = softstep::test::run(data.view(), c.rule, 20, {}, {}, options);
      CHECK(span.summary.form == c.span);
      CHECK(span.summary.status == TrainStatus::max_iterations);
      double norm = 0.0, distance = 0.0;
      for (std::size_t k = 0; k < span.state.blocks[0].size(); ++k) {
        norm = std::hypot(norm, static_cast<double>(dense.state.blocks[0][k]));
        distance = std::hypot(distance, static_cast<double>(span.state.blocks[0][k]) -
                                            static_cast<double>(dense.state.blocks[0][k]));
      }
      // Scores err by (2 d + 2) u |s| in either form, and are at most of the order of 20 where they matter
      // (they are 0 for 1e-40; for 3e8 each sample has one token and G is the one of the least exponent,
      // whatever the rounding): 20 steps, each turned by that much.
      CHECK(distance <= 20.0 * 20.0 * (2.0 * static_cast<double>(c.dim) + 2.0) * 0x1p-24 * norm);
      CHECK(norm > 0.0);
    }
  }
}

TEST_CASE("samples and tokens of very different sizes keep their part in every form", "[trainer]") {
  // Tokens from 1 to 2^-100, queries from 1 to 2^100 in one batch of float32. The samples of small tokens
  // have small token scores: each comes in when those before it are saturated.
  for (const bool by_sample : {false, true}) {
    const std::size_t n = 6, n_tokens = 5, d = by_sample ? 420 : 11;
    DatasetParts<float> parts;
    parts.n_samples = n;
    parts.n_tokens = n_tokens;
    parts.dim = d;
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    for (std::size_t i = 0; i < n; ++i) {
      const int power = static_cast<int>(20 * i);
      for (std::size_t k = 0; k < n_tokens * d; ++k)
        parts.tokens.push_back(static_cast<float>(std::ldexp(normal(random), -power)));
      for (std::size_t k = 0; k < d; ++k)
        parts.queries.push_back(static_cast<float>(std::ldexp(normal(random), power)));
      parts.labels.push_back(i % 2 == 0 ? 1 : -1);
    }
    parts.decoder.assign(d, 1.0f);
    const Dataset<float> data = make_dataset(std::move(parts));
    const Dataset<double> exact = convert<double>(data);
    TrainerOptions options;
    options.form = Form::dense;
    const auto expected = softstep::test::run(exact.view(), "ngd:step-size=0.3", 30, {}, {}, options);
    for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
      INFO(to_string(form) << " d = " << d);
      options.form = form;
      const auto got = softstep::test::run(data.view(), "ngd:step-size=0.3", 30, {}, {}, options);
      CHECK(got.summary.steps == 30);
      double norm = 0.0, distance = 0.0;
      for (std::size_t k = 0; k < got.state.blocks[0].size(); ++k) {
        norm = std::hypot(norm, expected.state.blocks[0][k]);
        distance =
            std::hypot(distance, static_cast<double>(got.state.blocks[0][k]) - expected.state.blocks[0][k]);
      }
      // As above, with scores of at most |W| |x| |z|, |x| |z| below 2 d.
      CHECK(distance <= 30.0 * 2.0 * (2.0 * static_cast<double>(d) + 2.0) * 0x1p-24 * norm * 2.0 *
                            static_cast<double>(d) * norm);
    }
  }
}

TEST_CASE("a zero token beside small ones keeps a token-span run finite", "[trainer]") {
  // Tokens of 2^-60, queries of 2^-30 and steps of 2^86: W is far inside float32.
  DatasetParts<float> parts;
  parts.n_samples = 1;
  parts.n_tokens = 3;
  parts.dim = 2;
  parts.tokens = {0x1p-60f, 0, 0, 0, 0x1p-61f, 0x1p-60f};
  parts.queries = {0x1p-30f, 0x1p-31f};
  parts.labels = {1};
  parts.decoder = {0x1p-40f, 0x1p-40f};
  const Dataset<float> data = make_dataset(std::move(parts));
  TrainerOptions options;
  const std::string rule = "ngd:step-size=7.7e25";
  options.form = Form::dense;
  const auto dense = softstep::test::run(data.view(), rule, 20, {}, {}, options);
  options.form = Form::token_span;
  const auto span = softstep::test::run(data.view(), rule, 20, {}, {}, options);
  CHECK(span.summary.steps == dense.summary.steps);
  // Scores are at most |W| |x| |z|, which grows by 2^-4 a step: 20 steps, each turned by their rounding.
  CHECK(std::fabs(span.summary.last.weight_norm / dense.summary.last.weight_norm - 1.0) <=
        20.0 * 4.0 * (1 + 2 + 2) * (1.0 + 20.0 * 0x1p-4) * 0x1p-24);
}

TEST_CASE("weights that would leave the type are refused, whichever token takes them there", "[trainer]") {
  // One sample of three tokens along the axes, one of them 2^60 times the others: W goes along that one.
  for (const std::size_t large : {0, 1, 2})
    for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
      DatasetParts<float> parts;
      parts.n_samples = 1;
      parts.n_tokens = parts.dim = 3;
      parts.tokens = {1, 0, 0, 0, 1, 0, 0, 0, 1};
      parts.queries = {1, 1, 1};
      parts.labels = {1};
      parts.decoder = {1, 2, 3};
      parts.tokens[4 * large] = 0x1p60f;
      parts.decoder[large] *= 0x1p-60f;
      const Dataset<float> data = make_dataset(std::move(parts));
      TrainerOptions options;
      options.form = form;
      const auto got = softstep::test::run(data.view(), "ngd:step-size=1e39", 1, {}, {}, options);
      INFO(to_string(form) << ", token " << large);
      CHECK(got.summary.status == TrainStatus::not_finite);
      CHECK(got.state.blocks[0] == std::vector<float>(9, 0.0f));
    }
}

TEST_CASE("weights of a form whose coefficients would leave the type are the last finite ones", "[trainer]") {
  // Tokens and queries of 2^-14 and steps of 2^120: W is a number of float32, and its coefficients, 2^14 or
  // 2^28 times as large, are none.
  for (const Shape& shape : shapes)
    for (const Powers& powers : {Powers{-14, -14, 14}, {0, -14, 0}, {-14, 0, 14}, {-45, -45, 45}}) {
      const Dataset<float> data = data_of<float>(shape, powers);
      const AttentionModel<float> model(data.view());
      TrainerOptions options;
      options.rules = {parse_rule("ngd:step-size=1.3e36")};
      options.n_steps = 3;
      options.form = shape.form;
      INFO(shape.name << ": tokens 2^" << powers.tokens << ", queries 2^" << powers.queries);
      const auto require_finite = [](const TrainState<float>& state, const TrainSummary& summary) {
        for (const float w : state.blocks[0]) REQUIRE(std::isfinite(w));
        REQUIRE(std::isfinite(summary.last.weight_norm));
        if (summary.steps == 0) REQUIRE(summary.status == TrainStatus::not_finite);
        if (summary.steps > 0) REQUIRE(summary.last.weight_norm > 1e36);
      };
      TrainState<float> state = initial_state(model);
      require_finite(state, train(model, state, options));
      TrainState<float> beside = initial_state(model);
      const std::vector<ManyRun<float>> runs = {{&model, &beside, &options}};
      require_finite(beside, train_many<float>(runs)[0]);
    }
}
