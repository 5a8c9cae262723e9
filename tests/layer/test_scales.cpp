// Data and weights far from 1: the gradient keeps its direction as long as the data themselves are numbers.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <vector>

#include "layer/exact_objective.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
void check_direction(const BatchView<T>& batch, const std::vector<T>& w) {
  const ExactObjective<T> exact(batch, w, Loss::logistic);
  REQUIRE(exact.gradient_norm > 0);
  AttentionModel<T> model(batch);
  Evaluation<T> out;
  model.evaluate(w, out);
  const double direction = direction_error(out.gradients[0].values, exact.gradient);
  const Exact log_norm = Exact(out.gradients[0].exponent) + log(Exact(out.gradients[0].norm));
  CHECK(direction <= exact.gradient_bound.direction);
  CHECK(static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm)))) <=
        exact.gradient_bound.exponent);
}

}  // namespace

TEST_CASE("tokens and decoders of any size that float holds have a gradient in float", "[layer]") {
  // G is of the order of decoder * token^3: far outside of float at both ends, its parts are not.
  for (const double token : {1e-15, 1e-12, 1.0, 1e6, 1e12})
    for (const double decoder : {1e-30, 1e-6, 1.0}) {
      if (token * decoder > 100.0) continue;  // margins beyond any loss
      INFO("tokens " << token << ", decoder " << decoder);
      const TestBatch<float> batch({{4, 4, 4}, 5}, 1, token, decoder);
      check_direction(batch.view,
                      weights_toward(batch.view, Toward::optimal, std::fmin(1e30, 3.0 / (token * token))));
    }
}

// What a row is multiplied by is over the size of its query and over n: together below what float holds in
// full.
TEST_CASE("many samples of queries at the end of the range keep the size of their gradient", "[layer]") {
  constexpr std::size_t n = 1000;
  const auto log_norm = [](int power) {
    std::vector<float> tokens, queries;
    for (std::size_t i = 0; i < n; ++i) {
      tokens.insert(tokens.end(), {1.0f, 0.0f, 0.25f, 1.0f});
      queries.insert(queries.end(), {std::ldexp(1.0f, power), std::ldexp(0.5f, power)});
    }
    const std::vector<float> decoder = {1.0f, 0.5f}, weights(4, 0.0f);
    const std::vector<std::int8_t> labels(n, 1);
    BatchView<float> batch;
    batch.n_samples = n;
    batch.n_tokens = batch.dim = 2;
    batch.tokens = tokens.data();
    batch.queries = queries.data();
    batch.decoder = decoder.data();
    batch.labels = labels.data();
    Evaluation<float> out;
    AttentionModel<float>(batch).evaluate(weights, out);
    return out.gradients[0].exponent + std::log(out.gradients[0].norm);
  };
  // Equal samples: their factors are rounded alike, each of three times, and nothing cancels. Exponents of up
  // to 88 are rounded in double.
  CHECK(std::fabs(log_norm(126) - log_norm(0) - 126.0 * std::log(2.0)) <= 6.0 * 0x1p-24 + 0x1p-44);
}

TEST_CASE("score gaps of millions leave the bound a number", "[layer]") {
  const Layout layout{{1, 2, 6, 1, 6}, 7, 0, true, false, true};
  const TestBatch<float> batch(layout, 6864687900065617228u, 1e4, 100.0);
  check_direction(batch.view, weights_toward(batch.view, Toward::anywhere, 1e-5));
}

TEST_CASE("tokens and decoders of any size have a gradient in double", "[layer]") {
  for (const double token : {1e-90, 1.0, 1e90}) {
    const TestBatch<double> batch({{4, 4, 4}, 5}, 1, token, 1.0 / token);
    check_direction(batch.view, weights_toward(batch.view, Toward::optimal, 3.0 / (token * token)));
  }
}

TEMPLATE_TEST_CASE("a sample that cannot contribute does not hide one that does", "[layer]", float, double) {
  // The first sample's query is zero: its scores are all equal and its gradient exactly zero, whatever its
  // row.
  using T = TestType;
  TestBatch<T> batch({{4, 4}, 5, 0, true}, 3);
  for (std::size_t j = 0; j < 5; ++j) batch.queries[j] = T(0);
  for (const double norm : {1.0, 100.0, 1e4, 1e6})
    check_direction(batch.view, weights_toward(batch.view, Toward::optimal, norm));
}

TEMPLATE_TEST_CASE("a sample of tiny queries does not drown one whose exponent is low", "[layer]", float,
                   double) {
  // The first sample is not saturated but its gradient is of the order of its query; the second is saturated.
  using T = TestType;
  const double tiny = sizeof(T) == 4 ? 1e-37 : 1e-300, c = sizeof(T) == 4 ? -80.0 : -680.0;
  TestBatch<T> batch({{2, 2}, 2, 0, true}, 3);
  for (std::size_t j = 0; j < 2; ++j) batch.queries[j] = static_cast<T>(tiny);
  batch.queries[2] = T(1);
  batch.queries[3] = T(0);
  // v = W z = (w00, w10) of the second sample: scores differ by c.
  const T* x = batch.tokens.data() + 4;
  const double difference = static_cast<double>(x[0]) - static_cast<double>(x[2]);
  std::vector<T> w(4, T(0));
  w[0] = static_cast<T>(c / difference);
  check_direction(batch.view, w);
}

TEMPLATE_TEST_CASE("samples that cancel leave what does not cancel, or exactly nothing", "[layer]", float,
                   double) {
  // At W = 0 two samples of the same tokens have the same rows. Queries (1, tiny) and (-1, 0) leave row *
  // tiny in the second column; the truth and its bound are those of queries (0, tiny) and (0, 0).
  using T = TestType;
  const T tiny = sizeof(T) == 4 ? T(1e-20) : static_cast<T>(1e-200);
  const std::vector<T> w(4, T(0));
  TestBatch<T> batch({{3, 3}, 2, 0, true}, 7);
  std::copy_n(batch.tokens.begin(), 6, batch.tokens.begin() + 6);
  batch.labels[1] = batch.labels[0];
  batch.queries = {T(0), tiny, T(0), T(0)};
  const ExactObjective<T> exact(batch.view, w, Loss::logistic);
  const auto evaluate = [&](const std::vector<T>& queries) {
    std::copy(queries.begin(), queries.end(), batch.queries.begin());
    Evaluation<T> out;
    AttentionModel<T>(batch.view).evaluate(w, out);
    return out;
  };
  const Evaluation<T> left = evaluate({T(1), tiny, T(-1), T(0)});
  CHECK(direction_error(left.gradients[0].values, exact.gradient) <= exact.gradient_bound.direction);
  const Exact log_norm = Exact(left.gradients[0].exponent) + log(Exact(left.gradients[0].norm));
  CHECK(static_cast<double>(abs(Exact(log_norm - log(exact.gradient_norm)))) <=
        exact.gradient_bound.exponent);
  const Evaluation<T> nothing = evaluate({T(1), T(0.5), T(-1), T(-0.5)});
  CHECK(nothing.gradients[0].norm == 0.0);
  CHECK(nothing.gradients[0].exponent == -INFINITY);
}

TEMPLATE_TEST_CASE("an exactly zero gradient says so", "[layer]", float, double) {
  using T = TestType;
  TestBatch<T> zero_queries({{3, 3}, 4, 0, true}, 1);
  for (T& z : zero_queries.queries) z = T(0);
  TestBatch<T> one_token({{1, 1}, 4}, 1);
  TestBatch<T> equal_tokens({{3, 3}, 4}, 1);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t k = 0; k < 12; ++k)
      equal_tokens.tokens[12 * i + k] = equal_tokens.tokens[12 * i + k % 4];
  for (const TestBatch<T>* batch : {&zero_queries, &one_token, &equal_tokens}) {
    AttentionModel<T> model(batch->view);
    Evaluation<T> out;
    model.evaluate(std::vector<T>(16, T(0.5)), out);
    CHECK(out.gradients[0].norm == 0.0);
    CHECK(out.gradients[0].exponent == -INFINITY);
    CHECK(out.gradients[0].values == std::vector<T>(16, T(0)));
    CHECK(std::isfinite(out.loss));
  }
}
