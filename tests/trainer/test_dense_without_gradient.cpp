// A dense run of few samples in many dimensions does not form the gradient: its norm, its steps, and where it
// cannot.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "layer/exact_objective.h"
#include "support/isas.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::for_each_isa;
using softstep::test::same_bits;
using softstep::test::signal_noise;

namespace {

// Few samples (12 n <= d), long enough not to go one to a lane.
constexpr std::size_t n = 9, n_tokens = 24, dim = 130;

template <class T>
DatasetParts<T> parts_of(std::size_t n_samples, std::size_t tokens, std::size_t d) {
  DatasetParts<T> parts;
  parts.n_samples = n_samples;
  parts.n_tokens = tokens;
  parts.dim = d;
  parts.tokens.assign(n_samples * tokens * d, T(0));
  parts.queries.assign(n_samples * d, T(0));
  parts.decoder.assign(d, T(0));
  parts.labels.assign(n_samples, 1);
  return parts;
}

TrainerOptions dense_steps(const char* rule, std::int64_t n_steps) {
  TrainerOptions options;
  options.rules = {parse_rule(rule)};
  options.form = Form::dense;
  options.n_steps = n_steps;
  return options;
}

// The norm of the gradient that a dense run of `rule` reports at its start, against the objective's, which
// forms it.
template <class T>
double norm_error(const BatchView<T>& batch, const std::vector<double>& weights, const char* isa) {
  AttentionOptions how;
  how.isa = isa;
  AttentionModel<T> model(batch, how);
  auto state = initial_state(model, {weights});
  Evaluation<T> exact;
  model.evaluate(state.blocks[0], exact, want_all);
  TrainerOptions options = dense_steps("ngd", 0);
  const TrainSummary summary = train(model, state, options);
  return std::log(10.0) *
         std::fabs(summary.last.log10_gradient_norm - exact.gradients[0].norm_scaled().log10());
}

}  // namespace

TEMPLATE_TEST_CASE("the norm from inner products is that of the gradient", "[trainer]", float, double) {
  using T = TestType;
  const double u = softstep::test::unit_roundoff<T>;
  const Dataset<T> data = convert<T>(signal_noise(2, n, n_tokens, dim));
  // Two samples that cancel but for rounding, tokens a third and query nine times as large; 1/500 is left by
  // a third: the matrix itself is formed.
  DatasetParts<T> cancelling = parts_of<T>(3, 2, 1300);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 1300; ++j) {
      const double x =
          i == 2 ? std::sin(2.0 + 2.0 * static_cast<double>(j)) : std::sin(1.0 + static_cast<double>(j));
      T* token = cancelling.tokens.data() + 2 * i * 1300 + j;
      token[0] = static_cast<T>(i == 1 ? x / 3.0 : x);
      token[1300] = -token[0];
    }
    cancelling.queries[i * 1300] = i == 0 ? T(1) : i == 1 ? T(-9) : T(0.002);
  }
  cancelling.decoder[0] = T(1);
  const Dataset<T> opposed = make_dataset(cancelling);
  // Queries whose inner products leave the number range of float.
  DatasetParts<T> huge = parts_of<T>(2, 2, 1300);
  for (std::size_t i = 0; i < 2; ++i) {
    huge.tokens[i * 2 * 1300 + i] = T(1);
    huge.queries[i * 1300 + 5] = i == 0 ? T(1e25) : T(1e-25);
  }
  huge.decoder[0] = huge.decoder[1] = T(1);
  const Dataset<T> far = make_dataset(huge);
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name);
    std::vector<double> weights(dim * dim);
    for (const double scale : {0.0, 1.0, 100.0}) {
      for (std::size_t k = 0; k < weights.size(); ++k) weights[k] = scale * std::sin(static_cast<double>(k));
      // GramNorm's bound at the worst cancellation it lets pass, half of it for the root; two scores that err
      // by 2 (2 d + 2) u |x| |W| |z| turn a weight by as much.
      const double f = 2.0 * (static_cast<double>(dim) + 3.0), norm = scale * 130.0 / std::sqrt(2.0);
      REQUIRE(norm_error(data.view(), weights, isa.name) <= u * (0.5 * 8192.0 * f + 4.0 * f * norm * 100.0));
    }
    const std::vector<double> zeros(1300 * 1300, 0.0);
    // G's entries err by u of what cancels, 1000 times what is left, a few times over.
    REQUIRE(norm_error(opposed.view(), zeros, isa.name) <= 1e4 * u);
    REQUIRE(norm_error(far.view(), zeros, isa.name) <= 1e3 * u);
  });
}

TEMPLATE_TEST_CASE("a dense run without the gradient takes the steps of one with it", "[trainer]", float,
                   double) {
  using T = TestType;
  const Dataset<T> data = convert<T>(signal_noise(4, n, n_tokens, dim));
  std::vector<double> start(dim * dim);
  for (std::size_t k = 0; k < start.size(); ++k) start[k] = std::sin(static_cast<double>(k));
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name);
    AttentionOptions how;
    how.isa = isa.name;
    AttentionModel<T> model(data.view(), how);
    // Plain GD does not look at the norm: W - eta G from the objective's own gradient, element by element.
    auto state = initial_state(model, {start});
    Evaluation<T> at;
    model.evaluate(state.blocks[0], at, want_gradient);
    auto moved = state;
    train(model, moved, dense_steps("gd:step-size=1", 1));
    const double u = softstep::test::unit_roundoff<T>, scale = std::exp(at.gradients[0].exponent);
    // V from W and from its transpose differ by rounding of scores, u 2 (d + 2) |x| |W| |z|, which turns the
    // gradient by as much of its norm, a few times.
    const double wobble = u * 8.0 * (dim + 2.0) * 130.0 * scale * at.gradients[0].norm;
    double worst = 0.0, length = 0.0;
    for (std::size_t k = 0; k < moved.blocks[0].size(); ++k) {
      const double exact =
          static_cast<double>(state.blocks[0][k]) - scale * static_cast<double>(at.gradients[0].values[k]);
      const double error = std::fabs(static_cast<double>(moved.blocks[0][k]) - exact);
      worst = error <= worst ? worst : error - u * std::fabs(exact);
      length +=
          std::pow(static_cast<double>(moved.blocks[0][k]) - static_cast<double>(state.blocks[0][k]), 2);
    }
    REQUIRE(worst <= wobble);
    REQUIRE(length > 0.0);
  });
}

TEMPLATE_TEST_CASE("a dense run without the gradient goes on with the same bits, for any number of threads",
                   "[trainer]", float, double) {
  using T = TestType;
  // Large enough that threads start.
  constexpr std::size_t d = 260;
  const Dataset<T> data = convert<T>(signal_noise(5, n, n_tokens, d));
  for (const char* rule : {"ngd:step-size=1", "polyak", "gd:step-size=20"}) {
    INFO(rule);
    AttentionModel<T> model(data.view());
    auto whole = initial_state(model);
    train(model, whole, dense_steps(rule, 60));
    for (const int n_threads : {1, 2, 3}) {
      AttentionOptions how;
      how.n_threads = n_threads;
      AttentionModel<T> threaded(data.view(), how);
      auto in_parts = initial_state(threaded);
      for (const int steps : {1, 25, 0, 34})
        CHECK(train(threaded, in_parts, dense_steps(rule, steps)).threads_used == n_threads);
      CHECK(same_bits(in_parts.blocks[0], whole.blocks[0]));
    }
  }
}
