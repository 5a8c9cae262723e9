// What must hold whatever the numbers: sums, symmetries, and the same bits for any number of threads.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/reference/error_bounds.h"
#include "layer/exact_objective.h"
#include "support/batches.h"
#include "support/isas.h"

using namespace softstep;
using namespace softstep::test;

namespace {

template <class T>
Evaluation<T> evaluate(const BatchView<T>& batch, const std::vector<T>& w,
                       const AttentionOptions& options = {}) {
  AttentionModel<T> model(batch, options);
  Evaluation<T> out;
  model.evaluate(w, out);
  return out;
}

template <class T>
double norm(const std::vector<T>& x) {
  double out = 0.0;
  for (const T value : x) out = std::hypot(out, static_cast<double>(value));
  return out;
}

// Distance of the gradients as true vectors, relative to the first.
template <class T>
double difference(const Evaluation<T>& a, const Evaluation<T>& b, double factor_of_b = 1.0) {
  const double scale = factor_of_b * std::exp(b.gradients[0].exponent - a.gradients[0].exponent);
  double out = 0.0;
  for (std::size_t k = 0; k < a.gradients[0].values.size(); ++k)
    out = std::hypot(out, static_cast<double>(a.gradients[0].values[k]) -
                              scale * static_cast<double>(b.gradients[0].values[k]));
  return out / norm(a.gradients[0].values);
}

}  // namespace

TEMPLATE_TEST_CASE("attention is positive, sums to one, and is the softmax of the scores", "[layer]", float,
                   double) {
  using T = TestType;
  const TestBatch<T> batch({{1, 5, 2, 17}, 6, 1, false, true, true}, 1);
  for_each_isa([&](const simd::Isa& isa) {
    AttentionOptions options;
    options.isa = isa.name;
    AttentionModel<T> model(batch.view, options);
    for (const double size : {0.0, 1.0, 30.0, 1e4}) {
      const auto w = weights_toward(batch.view, Toward::anywhere, size);
      const auto p = model.attention(w);
      REQUIRE(p.size() == 25);
      const auto problem = reference::problem_of<long double>(batch.view);
      const auto values = reference::evaluate(problem, w.data(), reference::Loss::logistic);
      std::size_t k = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        double sum = 0.0;
        const double delta = reference::score_error(problem, i, w.data(), unit_roundoff<T>);
        const auto n_tokens = static_cast<double>(batch.view.tokens_of(i));
        // p_a of the kernel has (7 T + 6) u, and its sum that of exponentials of T
        const double bound = 1.01 * (7.0 * n_tokens + 12.0) * unit_roundoff<T>;
        for (std::size_t t = 0; t < batch.view.tokens_of(i); ++t, ++k) {
          sum += p[k];
          const auto exact = static_cast<double>(values[i].attention.attention[t]);
          REQUIRE(std::fabs(p[k] - exact) <= (std::expm1(2.0 * delta) + bound) * exact + 1e-300);
        }
        CHECK(std::fabs(sum - 1.0) <= bound);
      }
    }
  });
}

TEMPLATE_TEST_CASE("a coordinate in which all tokens of a sample agree has no gradient and no influence",
                   "[layer]", float, double) {
  // sum_t r_t = 0, and softmax does not see a constant: coordinate 2 is 0.5 in every token and unknown to the
  // decoder.
  using T = TestType;
  TestBatch<T> batch({{6, 6, 6}, 4, 0, true}, 2);
  for (std::size_t k = 0; k < 18; ++k) batch.tokens[4 * k + 2] = T(0.5);
  batch.decoder[2] = T(0);
  for_each_isa([&](const simd::Isa& isa) {
    AttentionOptions options;
    options.isa = isa.name;
    for (const double size : {1.0, 20.0}) {
      auto w = weights_toward(batch.view, Toward::optimal, size);
      const Evaluation<T> out = evaluate(batch.view, w, options);
      const auto problem = reference::problem_of<long double>(batch.view);
      double row = 0.0;
      for (std::size_t c = 0; c < 4; ++c)
        row = std::hypot(row, static_cast<double>(out.gradients[0].values[4 * 2 + c]));
      const ExactObjective<T> exact(batch.view, w, Loss::logistic);
      CHECK(row <= exact.gradient_bound.direction * out.gradients[0].norm);
      for (std::size_t c = 0; c < 4; ++c) w[4 * 2 + c] += T(3);
      const ExactObjective<T> moved_exact(batch.view, w, Loss::logistic);
      const Evaluation<T> moved = evaluate(batch.view, w, options);
      // Equal directions, each within its bound of the common truth.
      double apart = 0.0;
      for (std::size_t k = 0; k < 16; ++k)
        apart = std::hypot(apart,
                           static_cast<double>(out.gradients[0].values[k]) / out.gradients[0].norm -
                               static_cast<double>(moved.gradients[0].values[k]) / moved.gradients[0].norm);
      CHECK(apart <= exact.gradient_bound.direction + moved_exact.gradient_bound.direction);
    }
  });
}

TEMPLATE_TEST_CASE("the order of samples and of tokens does not matter beyond rounding", "[layer]", float,
                   double) {
  using T = TestType;
  const std::size_t n = 5, n_tokens = 7, d = 6;
  const TestBatch<T> batch({std::vector<std::size_t>(n, n_tokens), d, 0, true}, 3);
  const auto w = weights_toward(batch.view, Toward::optimal, 4.0);
  const ExactObjective<T> exact(batch.view, w, Loss::logistic);
  const Evaluation<T> out = evaluate(batch.view, w);
  TestBatch<T> reversed({std::vector<std::size_t>(n, n_tokens), d, 0, true}, 3);
  for (std::size_t i = 0; i < n; ++i) {
    reversed.labels[i] = batch.labels[n - 1 - i];
    std::copy_n(&batch.queries[(n - 1 - i) * d], d, &reversed.queries[i * d]);
    for (std::size_t t = 0; t < n_tokens; ++t)
      std::copy_n(&batch.tokens[((n - 1 - i) * n_tokens + (n_tokens - 1 - t)) * d], d,
                  &reversed.tokens[(i * n_tokens + t) * d]);
  }
  const Evaluation<T> other = evaluate(reversed.view, w);
  const double bound = 2.0 * (exact.gradient_bound.direction + exact.gradient_bound.exponent);
  CHECK(difference(out, other) <= bound);
  CHECK(std::fabs(other.loss / out.loss - 1.0) <= bound);
}

TEMPLATE_TEST_CASE("what a scale moves from W to the queries it moves from the gradient to its length",
                   "[layer]", float, double) {
  // s = X (W/4) (4 z): powers of two, so scores have the same bits, and dL/dW is 4 times as long.
  using T = TestType;
  TestBatch<T> batch({{5, 5, 5}, 6, 0, true}, 4);
  auto w = weights_toward(batch.view, Toward::optimal, 10.0);
  const Evaluation<T> out = evaluate(batch.view, w);
  for (T& x : w) x /= T(4);
  for (T& z : batch.queries) z *= T(4);
  const Evaluation<T> scaled = evaluate(batch.view, w);
  CHECK(scaled.loss == out.loss);
  CHECK(scaled.loss_gap.mantissa == out.loss_gap.mantissa);
  // Each row's factor is rounded anew, and so is its product with the row: 4 u each, and 4 u in the
  // comparison.
  CHECK(difference(out, scaled, 0.25) <=
        16.0 * unit_roundoff<T> + 16.0 * 0x1p-53 * std::fabs(out.gradients[0].exponent));
}

TEMPLATE_TEST_CASE("doubling every sample changes nothing, and one more sample of one token only the mean",
                   "[layer]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{3, 4}, 5, 0, false, false, true}, 5);
  const auto w = weights_toward(batch.view, Toward::optimal, 3.0);
  const Evaluation<T> out = evaluate(batch.view, w);

  TestBatch<T> twice({{3, 4, 3, 4}, 5, 0, false, false, true}, 5);
  std::copy_n(batch.tokens.begin(), 35, twice.tokens.begin());
  std::copy_n(batch.tokens.begin(), 35, twice.tokens.begin() + 35);
  std::copy_n(batch.decoder.begin(), 5, twice.decoder.begin());
  for (std::size_t i = 0; i < 4; ++i) twice.labels[i] = batch.labels[i % 2];
  CHECK(difference(out, evaluate(twice.view, w)) <= 16.0 * unit_roundoff<T>);

  TestBatch<T> more({{3, 4, 1}, 5, 0, false, false, true}, 5);
  std::copy_n(batch.tokens.begin(), 35, more.tokens.begin());
  std::copy_n(batch.decoder.begin(), 5, more.decoder.begin());
  for (std::size_t i = 0; i < 2; ++i) more.labels[i] = batch.labels[i];
  CHECK(difference(out, evaluate(more.view, w), 1.5) <= 16.0 * unit_roundoff<T>);
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits", "[layer]", float, double) {
  using T = TestType;
  for (const std::size_t d : {97, 160}) {
    const TestBatch<T> batch({std::vector<std::size_t>(150, 40), d}, d);
    const auto w = weights_toward(batch.view, Toward::optimal, 5.0);
    for_each_isa([&](const simd::Isa& isa) {
      Evaluation<T> one;
      std::vector<double> attention;
      for (const int n_threads : {1, 2, 3, 8, 0}) {
        AttentionOptions options;
        options.isa = isa.name;
        options.n_threads = n_threads;
        AttentionModel<T> model(batch.view, options);
        Evaluation<T> out;
        // Again and again: threads that get in each other's way do not do so every time.
        for (int repeat = 0; repeat < 10; ++repeat) {
          model.evaluate(w, out);
          if (n_threads == 1) break;
          if (n_threads > 1) REQUIRE(model.threads_used() == n_threads);
          REQUIRE(std::memcmp(one.gradients[0].values.data(), out.gradients[0].values.data(),
                              d * d * sizeof(T)) == 0);
          REQUIRE(one.loss == out.loss);
        }
        const auto p = model.attention(w);
        if (n_threads == 1) {
          one = out;
          attention = p;
          REQUIRE(std::isfinite(out.gradients[0].norm));
          REQUIRE(out.gradients[0].norm > 0.0);
          continue;
        }
        INFO(isa.name << " d = " << d << " threads " << n_threads);
        CHECK(std::memcmp(one.gradients[0].values.data(), out.gradients[0].values.data(),
                          d * d * sizeof(T)) == 0);
        CHECK(one.gradients[0].exponent == out.gradients[0].exponent);
        CHECK(one.gradients[0].norm == out.gradients[0].norm);
        CHECK(one.loss == out.loss);
        CHECK(one.loss_gap.mantissa == out.loss_gap.mantissa);
        CHECK(one.loss_gap.exponent == out.loss_gap.exponent);
        CHECK(one.min_optimal_attention == out.min_optimal_attention);
        CHECK(one.log10_one_minus_optimal_attention == out.log10_one_minus_optimal_attention);
        CHECK(attention == p);
      }
    });
  }
}
