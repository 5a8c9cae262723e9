// Steps far below the rounding of float32 weights add up in every form, survive a stop, and are counted where
// even what is kept beside the weights cannot take them.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "support/temporary_file.h"
#include "support/unit_roundoff.h"
#include "trainer/layouts.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::data_of;
using softstep::test::same_bits;
using softstep::test::Shape;
using softstep::test::shapes;
using softstep::test::signal_noise;

namespace {

TrainerOptions steps(Form form, double step_size, std::int64_t n) {
  TrainerOptions options;
  options.rules = {{"ngd", {{"step-size", step_size}}}};
  options.form = form;
  options.n_steps = n;
  options.trace_rows_per_decade = 0;
  return options;
}

void add(std::vector<double>& sum, const std::vector<float>& part) {
  for (std::size_t k = 0; k < part.size(); ++k) sum[k] += static_cast<double>(part[k]);
}

// W with everything that is kept beside it, of a state at a multiple of 64 steps, where no form has steps
// apart. A span form has coefficients: sum_k c_k E_k of tokens and queries of ordinary size.
std::vector<double> whole_weights(const BatchView<float>& batch, const TrainState<float>& state) {
  const std::size_t n = batch.n_samples, d = batch.dim;
  std::vector<double> w(d * d, 0.0);
  if (state.span.form == Form::dense) {
    add(w, state.span.base.empty() ? state.blocks[0] : state.span.base);
    add(w, state.span.base.empty() ? state.remainders[0] : state.span.remainder);
    return w;
  }
  std::vector<double> c(state.span.coefficients.size(), 0.0);
  add(c, state.span.coefficients);
  add(c, state.span.remainder);
  // Rows: with the sample index last where there are more entries in a column than samples.
  const bool lanes = state.span.form == Form::query_span && batch.n_tokens * d <= 512;
  std::size_t k = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> row(d, 0.0);
    for (std::size_t t = 0; state.span.form == Form::token_span && t < batch.tokens_of(i); ++t, ++k)
      for (std::size_t j = 0; j < d; ++j) row[j] += c[k] * static_cast<double>(batch.sample(i)[t * d + j]);
    for (std::size_t j = 0; state.span.form == Form::query_span && j < d; ++j)
      row[j] = lanes ? c[j * (c.size() / d) + i] : c[i * (c.size() / n) + j];
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t s = 0; s < d; ++s) w[r * d + s] += row[r] * static_cast<double>(batch.query(i)[s]);
  }
  return w;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) sum = std::hypot(sum, a[k] - b[k]);
  return sum;
}

}  // namespace

TEST_CASE("steps far below the rounding of float32 weights add up in every form and layout", "[trainer]") {
  constexpr double u = 0x1p-24, small = 0.01;
  constexpr std::int64_t n_steps = 1024;
  for (const Shape& shape : shapes) {
    INFO(shape.name);
    const Dataset<float> data = data_of<float>(shape, {0, 0, 0});
    const AttentionModel<float> model(data.view());
    auto state = initial_state(model);
    REQUIRE(train(model, state, steps(shape.form, 1e6, 64)).steps == 64);
    const std::vector<double> before = whole_weights(data.view(), state);
    const TrainSummary summary = train(model, state, steps(shape.form, small, n_steps));
    REQUIRE(summary.steps == n_steps);
    CHECK(summary.steps_below_rounding == 0);
    // Scores differ by 1e5 and more: one pair of tokens of one sample is all of the gradient, before and
    // after. Its direction is right to a few d u, and every step adds the rounding of what is kept, u^2 of
    // its size; that of coefficients is some times that of W, as their matrices are not orthogonal.
    const double moved = distance(whole_weights(data.view(), state), before), length = small * n_steps;
    const double norm = summary.last.weight_norm;
    CHECK(std::fabs(moved - length) <=
          length * 4.0 * static_cast<double>(shape.dim) * u + 16.0 * n_steps * u * u * norm);
  }
}

TEST_CASE("what is kept beside float32 weights is saved and taken up with the same bits", "[trainer]") {
  const softstep::test::TemporaryFile file("softstep-state-remainder");
  for (const Shape& shape : shapes) {
    INFO(shape.name);
    const Dataset<float> data = data_of<float>(shape, {0, 0, 0});
    const AttentionModel<float> model(data.view());
    auto whole = initial_state(model);
    train(model, whole, steps(shape.form, 1e4, 150));
    for (const bool with_rows : {false, true}) {
      auto parts = initial_state(model);
      for (const int n : {1, 62, 3, 0, 84}) {
        TrainerOptions options = steps(shape.form, 1e4, n);
        options.trace_rows_per_decade = with_rows ? 20 : 0;
        train(model, parts, options);
        save_state(file.path, model, parts, options);
        parts = load_state(file.path, model, options);
      }
      CHECK(same_bits(parts.blocks[0], whole.blocks[0]));
      CHECK(same_bits(parts.remainders[0], whole.remainders[0]));
      CHECK(same_bits(parts.span.base, whole.span.base));
      CHECK(same_bits(parts.span.coefficients, whole.span.coefficients));
      CHECK(same_bits(parts.span.projected, whole.span.projected));
      CHECK(same_bits(parts.span.remainder, whole.span.remainder));
      CHECK(same_bits(parts.span.recent, whole.span.recent));
    }
  }
}

TEST_CASE("what is kept beside weights is dropped with them", "[trainer]") {
  for (const Shape& shape : shapes) {
    INFO(shape.name);
    const Dataset<float> data = data_of<float>(shape, {0, 0, 0});
    const AttentionModel<float> model(data.view());
    auto state = initial_state(model);
    train(model, state, steps(shape.form, 1e6, 70));
    for (std::size_t k = 0; k < state.blocks[0].size(); ++k)
      state.blocks[0][k] = static_cast<float>(std::sin(static_cast<double>(k)));
    auto fresh = initial_state(model);
    fresh.blocks[0] = state.blocks[0];
    fresh.step = state.step;
    train(model, state, steps(shape.form, 1.0, 70));
    train(model, fresh, steps(shape.form, 1.0, 70));
    CHECK(same_bits(state.blocks[0], fresh.blocks[0]));
    CHECK(same_bits(state.remainders[0], fresh.remainders[0]));
  }
}

TEMPLATE_TEST_CASE("steps that the weights cannot take are counted", "[trainer]", float, double) {
  using T = TestType;
  // W of norm 1e6 or so: what is kept is rounded by 2^-48 or 2^-53 of that.
  const double unit = sizeof(T) == 4 ? 0x1p-48 : 0x1p-53;
  for (const Shape& shape : shapes) {
    INFO(shape.name);
    const Dataset<T> data = data_of<T>(shape, {0, 0, 0});
    const AttentionModel<T> model(data.view());
    auto state = initial_state(model);
    CHECK(train(model, state, steps(shape.form, 1e6, 30)).steps_below_rounding == 0);
    const double norm = frobenius_norm(state.blocks[0]);
    CHECK(train(model, state, steps(shape.form, 2.0 * unit * norm, 10)).steps_below_rounding == 0);
    CHECK(train(model, state, steps(shape.form, 0.5 * unit * norm, 10)).steps_below_rounding == 10);
    // Plain gradient descent where the gradient is e^-1000 and less.
    TrainerOptions gd = steps(shape.form, 0.0, 10);
    gd.rules = {parse_rule("gd:step-size=1")};
    const TrainSummary summary = train(model, state, gd);
    CHECK(summary.status == TrainStatus::max_iterations);
    CHECK(summary.steps_below_rounding == 10);
  }
  // Weights that wander about without growing: the path is far longer than they are.
  const Dataset<T> data = convert<T>(signal_noise(0));
  const AttentionModel<T> model(data.view());
  auto state = initial_state(model);
  CHECK(train(model, state, steps(Form::automatic, 1.0, 2000)).steps_below_rounding == 0);
}

TEST_CASE("blocks of a model in float32 keep what they round off", "[trainer]") {
  constexpr double u = 0x1p-24;
  const Dataset<float> data = data_of<float>(shapes[0], {0, 0, 0});
  AttentionOptions how;
  how.key_query = KeyQuery::prompt;
  const AttentionModel<float> model(data.view(), how);
  TrainerOptions options;
  options.trace_rows_per_decade = 0;
  options.rules = {{"ngd", {{"step-size", 1e6}}}};
  options.n_steps = 64;
  auto state = initial_state(model);
  REQUIRE(train(model, state, options).steps == 64);
  const auto whole = [&] {
    std::vector<double> w(state.blocks[0].size(), 0.0);
    add(w, state.blocks[0]);
    add(w, state.remainders[0]);
    return w;
  };
  const std::vector<double> before = whole();
  const softstep::test::TemporaryFile file("softstep-model-state-remainder");
  options.rules[0].options["step-size"] = 0.01;
  options.n_steps = 512;
  for (int part = 0; part < 2; ++part) {
    const TrainSummary summary = train(model, state, options);
    CHECK(summary.steps_below_rounding == 0);
    save_state(file.path, model, state, options);
    const auto loaded = load_state(file.path, model, options);
    CHECK(same_bits(loaded.blocks[0], state.blocks[0]));
    CHECK(same_bits(loaded.remainders[0], state.remainders[0]));
    state = loaded;
  }
  const double length = 10.24, norm = frobenius_norm(before);
  CHECK(std::fabs(distance(whole(), before) - length) <= length * 4.0 * 6.0 * u + 16.0 * 1024 * u * u * norm);
  options.rules[0].options["step-size"] = 1e-9;
  options.n_steps = 7;
  CHECK(train(model, state, options).steps_below_rounding == 7);
}

TEST_CASE("float32 turns to the max-margin direction for a million steps", "[trainer][long]") {
  const Dataset<double> data = signal_noise(0);
  const Dataset<float> single = convert<float>(data);
  const MaxMarginResult limit = solve_max_margin(data.view());
  const std::size_t d = data.view().dim;
  for (const Form form : {Form::dense, Form::query_span, Form::token_span}) {
    INFO(to_string(form));
    TrainerOptions options = steps(form, 1.0, 1000000);
    options.references = {limit.weights};
    const AttentionModel<float> model(single.view());
    auto state = initial_state(model);
    const TrainSummary summary = train(model, state, options);
    // Steps balance the scores as they are computed, each right to (2 d + 2) u |x| |W| |z|; tokens and
    // queries are of length about 1, and a score of |W| / |W_mm| is a margin of 1: the direction is off by no
    // more than |W_mm| times twice that error, beside the 1 / t of the rule (README: 1 - cos is 5.5e-7 at 1e4
    // steps and falls with the square of t).
    const double rounding =
        2.0 * (2.0 * static_cast<double>(d) + 2.0) * 0x1p-24 * frobenius_norm(limit.weights);
    const double angle = std::sqrt(2.0 * 5.5e-7) * 1e-2 * 2.0;
    CHECK(summary.last.one_minus_cos <= 0.5 * (angle + rounding) * (angle + rounding));
  }
}
