// Norm, direction, margin and entropy against 520 digits, at the ends of the number range and where they
// nearly vanish.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "data/refused.h"
#include "layer/exact_objective.h"
#include "softstep/metrics.h"
#include "support/batches.h"

using namespace softstep;
using namespace softstep::test;

namespace {

constexpr double u = 0x1p-53;

template <class T>
std::vector<T> random_numbers(std::size_t n, std::uint64_t seed, double scale = 1.0) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<T> out;
  for (std::size_t k = 0; k < n; ++k) out.push_back(static_cast<T>(scale * uniform(random)));
  return out;
}

// A sum of n terms in four chains, its square root, and three roundings an element.
double norm_bound(std::size_t n) { return (static_cast<double>(n) / 8.0 + 8.0) * u; }

}  // namespace

TEMPLATE_TEST_CASE("the norm neither overflows nor underflows", "[metrics]", float, double) {
  using T = TestType;
  const double largest = static_cast<double>(std::numeric_limits<T>::max());
  const double smallest = static_cast<double>(std::numeric_limits<T>::denorm_min());
  for (const std::size_t n : {1, 2, 3, 5, 64, 1001})
    for (const double scale : {1.0, largest, largest / 1e5, smallest * 1e3, smallest * 1e12, 1e-30, 1e30}) {
      const auto a = random_numbers<T>(n, n, scale);
      const Exact exact = norm_of(std::vector<Exact>(a.begin(), a.end()));
      const double computed = frobenius_norm({a.data(), n});
      if (exact > Exact(std::numeric_limits<double>::max())) {
        CHECK(computed == INFINITY);
        continue;
      }
      INFO("n = " << n << " scale " << scale);
      CHECK(static_cast<double>(abs(Exact(Exact(computed) - exact))) <=
            norm_bound(n) * static_cast<double>(exact) + std::numeric_limits<double>::denorm_min());
    }
  const std::vector<T> zeros(9, T(0));
  CHECK(frobenius_norm({zeros.data(), 9}) == 0.0);
  CHECK(frobenius_norm({zeros.data(), 0}) == 0.0);
  for (std::size_t k = 0; k < 9; ++k) {
    std::vector<T> a(9, T(1));
    a[k] = std::numeric_limits<T>::quiet_NaN();
    CHECK(std::isnan(frobenius_norm({a.data(), 9})));
    a[k] = -std::numeric_limits<T>::infinity();
    CHECK(frobenius_norm({a.data(), 9}) == INFINITY);
    a[(k + 1) % 9] = std::numeric_limits<T>::quiet_NaN();
    CHECK(std::isnan(frobenius_norm({a.data(), 9})));
  }
}

TEMPLATE_TEST_CASE("1 - cos and the angle are right however near two directions are", "[metrics]", float,
                   double) {
  using T = TestType;
  const std::size_t n = 50;
  const auto a = random_numbers<T>(n, 1);
  for (const double apart : {1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12, 1e-15, 0.0})
    for (const double scale : {1.0, 1e-200, 1e200}) {
      const auto noise = random_numbers<double>(n, 2);
      std::vector<double> b;
      for (std::size_t k = 0; k < n; ++k) b.push_back(scale * (static_cast<double>(a[k]) + apart * noise[k]));
      const std::vector<Exact> exact_b(b.begin(), b.end());
      const double distance = direction_error(a, exact_b);
      const Direction computed = compare_direction(a, b);
      // Both unit vectors are off by norm_bound at most, and so is their distance.
      const double error = 2.0 * norm_bound(n);
      INFO("apart " << apart << " scale " << scale);
      CHECK(std::fabs(std::sqrt(2.0 * computed.one_minus_cos) - distance) <= error + 4.0 * u * distance);
      const double angle = 2.0 * std::asin(0.5 * distance);
      CHECK(std::fabs(computed.angle - angle) <= 2.0 * error + 8.0 * u * angle);
    }
}

TEST_CASE("directions that are opposite, perpendicular, zero or no numbers", "[metrics]") {
  const auto a = random_numbers<double>(20, 1);
  std::vector<double> minus;
  for (const double x : a) minus.push_back(-3.0 * x);
  const Direction opposite = compare_direction(a, minus);
  CHECK(std::fabs(opposite.one_minus_cos - 2.0) <= 4.0 * norm_bound(20));
  CHECK(opposite.one_minus_cos <= 2.0);
  CHECK(std::fabs(opposite.angle - std::acos(-1.0)) <= 4.0 * norm_bound(20));
  const double x[] = {1.0, 0.0}, y[] = {0.0, -5.0}, zero[] = {0.0, 0.0};
  CHECK(std::fabs(compare_direction(x, y).one_minus_cos - 1.0) <= 4.0 * u);
  CHECK(std::fabs(compare_direction(x, y).angle - std::acos(0.0)) <= 4.0 * u);
  CHECK(compare_direction(x, zero).one_minus_cos == 1.0);
  CHECK(compare_direction(zero, y).angle == std::acos(0.0));
  for (const double entry : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const double bad[] = {1.0, entry};
    CHECK(std::isnan(compare_direction(x, bad).one_minus_cos));
    CHECK(std::isnan(compare_direction(bad, x).angle));
    CHECK(std::isnan(compare_direction(bad, zero).one_minus_cos));
    CHECK(std::isnan(compare_direction(zero, bad).angle));
  }
  require_refused("b", {"3", "2"}, [&] { compare_direction(x, std::vector<float>(3, 1.0f)); });
}

TEST_CASE("directions at the ends of the range are those of ordinary numbers", "[metrics]") {
  // Small integers times powers of two, exact down to subnormal numbers; the last power takes the norm beyond
  // the largest double.
  const std::vector<double> a = {3, -1, 2, 3}, b = {1, 3, -2, 2};
  const auto times = [](std::vector<double> x, int power) {
    for (double& value : x) value = std::ldexp(value, power);
    return x;
  };
  const Direction near = compare_direction(a, b);
  for (const int of_a : {-1074, -1000, 0, 1000, 1022})
    for (const int of_b : {-1074, -1000, 0, 1000, 1022}) {
      CAPTURE(of_a, of_b);
      const Direction far = compare_direction(times(a, of_a), times(b, of_b));
      CHECK(far.one_minus_cos == near.one_minus_cos);
      CHECK(far.angle == near.angle);
    }
  CHECK(compare_direction(times(a, 1022), times(times(a, 1), -1074)).one_minus_cos == 0.0);
}

TEMPLATE_TEST_CASE("the margin is the smallest score difference over the norm", "[metrics]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{1, 5, 2, 3}, 4, 2, false, true, true}, 4);
  const TokenScores scores = score_tokens(batch.view);
  const auto problem = reference::problem_of<Exact>(batch.view);
  for (const double size : {1e-300, 1e-200, 1.0, 1e200, 1e307})
    for (const Toward toward : {Toward::optimal, Toward::anywhere}) {
      std::vector<double> w;
      for (const T x : weights_toward(batch.view, toward, 1.0)) w.push_back(size * static_cast<double>(x));
      const std::vector<Exact> exact_w(w.begin(), w.end());
      Exact margin(1e300);
      double score_size = 0.0;
      for (const auto& sample : problem.samples) {
        std::vector<Exact> v(4, Exact(0));
        for (std::size_t r = 0; r < 4; ++r)
          for (std::size_t c = 0; c < 4; ++c) v[r] += exact_w[4 * r + c] * sample.query[c];
        for (std::size_t t = 0; t < sample.n_tokens; ++t) {
          if (t == sample.optimal) continue;
          Exact difference(0);
          for (std::size_t j = 0; j < 4; ++j)
            difference += (sample.tokens[sample.optimal * 4 + j] - sample.tokens[t * 4 + j]) * v[j];
          margin = std::min(margin, Exact(difference / norm_of(exact_w)));
        }
      }
      for (std::size_t i = 0; i < 4; ++i)
        score_size = std::max(score_size, reference::score_error(problem, i, w.data(), u) / size);
      // Two tokens' scores of the reference's bound each, and the norm's
      const double computed = normalized_margin(batch.view, scores, w);
      CHECK(std::fabs(computed - static_cast<double>(margin)) <= 3.0 * score_size + 2.0 * norm_bound(16));
    }
  // One constraint's NaN is the answer, wherever it stands: only sample k has a query that meets the NaN.
  const TestBatch<T> several({{3, 3, 3}, 3, 0, true}, 6);
  const TokenScores several_scores = score_tokens(several.view);
  for (std::size_t k = 0; k < 9; ++k) {
    std::vector<T> w(9, T(1));
    w[k] = std::numeric_limits<T>::quiet_NaN();
    CHECK(std::isnan(normalized_margin(several.view, several_scores, w)));
    w[k] = std::numeric_limits<T>::infinity();
    CHECK(!std::isfinite(normalized_margin(several.view, several_scores, w)));
  }
  // The first sample's scores would be inf - inf, were W taken as it is.
  TestBatch<T> two({{2, 2}, 2, 0, true}, 7);
  for (std::size_t j = 0; j < 2; ++j) {
    two.tokens[j] = two.decoder[j] = T(1);
    two.tokens[2 + j] = two.queries[2 * j + 1] = T(0);
    two.labels[j] = 1;
  }
  two.queries[0] = T(4);
  two.queries[2] = T(0.001);
  const double huge[] = {1e308, 0.0, -1e308, 0.0};
  const double plain[] = {1.0, 0.0, -1.0, 0.0};
  const TokenScores two_scores = score_tokens(two.view);
  // |x| |z| is at most 8
  CHECK(std::fabs(normalized_margin(two.view, two_scores, huge) -
                  normalized_margin(two.view, two_scores, plain)) <= 8.0 * norm_bound(4));
  const std::vector<T> zero(9, T(0));
  CHECK(std::isnan(normalized_margin(several.view, several_scores, zero)));
  const TestBatch<T> single({{1, 1}, 3}, 5);
  CHECK(normalized_margin(single.view, score_tokens(single.view), std::vector<T>(9, T(1))) == INFINITY);
}

TEMPLATE_TEST_CASE("the entropy of attention is right when it all but vanishes", "[metrics]", float, double) {
  using T = TestType;
  const TestBatch<T> batch({{1, 5, 2, 3}, 4, 2, false, true, true}, 4);
  const auto problem = reference::problem_of<Exact>(batch.view);
  for (const double size : {0.0, 1e-3, 1.0, 10.0, 100.0, 500.0, 1e5}) {
    std::vector<double> w;
    for (const T x : weights_toward(batch.view, Toward::anywhere, 1.0))
      w.push_back(size * static_cast<double>(x));
    Exact entropy(0);
    double bound = 0.0;
    const auto values = reference::evaluate(problem, w.data(), reference::Loss::logistic);
    for (std::size_t i = 0; i < 4; ++i) {
      Exact one(0);
      const auto& a = values[i].attention;
      for (std::size_t t = 0; t < a.attention.size(); ++t)
        // -log p_t = log Z - z_t, log Z without cancellation
        one += a.attention[t] * (reference::log_one_plus(Exact(a.normalizer - 1)) - a.relative_scores[t]);
      entropy += one / 4;
      // dH = -sum p_t theta_t (log p_t + H) for p_t changed by e^theta_t, |theta_t| <= 2 delta: at most 4
      // delta H
      const double delta = reference::score_error(problem, i, w.data(), u);
      bound += (std::expm1(4.0 * delta) + 16.0 * static_cast<double>(a.attention.size()) * u) *
               static_cast<double>(one) / 4.0;
    }
    INFO("|W| = " << size);
    CHECK(std::fabs(mean_attention_entropy(batch.view, w) - static_cast<double>(entropy)) <=
          1.01 * bound + 1e-307);
  }
  std::vector<double> w(16, 0.5);
  w[3] = NAN;
  CHECK(std::isnan(mean_attention_entropy(batch.view, w)));
}
