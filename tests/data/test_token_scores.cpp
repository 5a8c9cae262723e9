// Token scores against arithmetic with 1000 bits, in which every score below is exact.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "refused.h"
#include "softstep/batch.h"
#include "support/digits.h"

using namespace softstep;
using softstep::test::require_refused;

namespace {

using Wide = test::Digits<301>;  // 1000 bits

template <class T>
struct Problem {
  std::vector<T> tokens, decoder;
  std::vector<std::int8_t> labels;
  BatchView<T> view;

  Problem(std::size_t n_samples, std::size_t n_tokens, std::size_t dim)
      : tokens(n_samples * n_tokens * dim), decoder(dim), labels(n_samples, 1) {
    view.n_samples = n_samples;
    view.n_tokens = n_tokens;
    view.dim = dim;
    view.tokens = tokens.data();
    view.decoder = decoder.data();
    view.labels = labels.data();
  }
  T* token(std::size_t i, std::size_t t) { return tokens.data() + (i * view.n_tokens + t) * view.dim; }
};

template <class T>
Wide exact_score(const BatchView<T>& b, std::size_t i, std::size_t t) {
  Wide sum = 0;
  for (std::size_t k = 0; k < b.dim; ++k)
    sum += Wide(b.decoder[k]) * Wide(b.sample(i)[t * b.row_stride() + k]);
  return b.labels[i] * sum;
}

// With u = 2^-53, gamma_d = d u / (1 - d u) >= u and S the sum of |u_j x_tj| over j for both tokens: each
// score is off by at most gamma_d^2 of its S (Ogita, Rump, Oishi, Proposition 5.5); the difference adds at
// most 5 u^2 S and rounds by u |gap|. A gap reported as 0 for want of resolution was at most 2 u sum |lo|
// over 2 d additions with |lo| <= gamma_d S each, so 4 gamma_d^2 S. Together |gap - exact| <= 2 u |exact| +
// 10 gamma_d^2 S; 12 for terms of higher order.
template <class T>
void require_right_gaps(const BatchView<T>& b) {
  const TokenScores scores = score_tokens(b);
  REQUIRE(scores.first.size() == b.n_samples + 1);
  REQUIRE(scores.gaps.size() == b.total_tokens());
  const double du = static_cast<double>(b.dim) * 0x1p-53, gamma = du / (1 - du);
  for (std::size_t i = 0; i < b.n_samples; ++i) {
    REQUIRE(scores.first[i + 1] - scores.first[i] == b.tokens_of(i));
    const std::size_t best = scores.optimal[i];
    REQUIRE(best < b.tokens_of(i));
    const Wide top = exact_score(b, i, best);
    const auto magnitude = [&](std::size_t t) {
      Wide sum = 0;
      for (std::size_t k = 0; k < b.dim; ++k)
        sum += abs(Wide(b.decoder[k]) * Wide(b.sample(i)[t * b.row_stride() + k]));
      return sum;
    };
    REQUIRE(abs(Wide(scores.optimal_score[i]) - top) <=
            Wide(0x1p-53) * abs(top) + gamma * gamma * magnitude(best));
    for (std::size_t t = 0; t < b.tokens_of(i); ++t) {
      const double gap = scores.gaps[scores.first[i] + t];
      REQUIRE(gap >= 0.0);
      const Wide exact = top - exact_score(b, i, t);
      REQUIRE(abs(Wide(gap) - exact) <=
              Wide(0x1p-52) * abs(exact) + 12 * Wide(gamma) * gamma * (magnitude(best) + magnitude(t)));
    }
    REQUIRE(scores.gaps[scores.first[i] + best] == 0.0);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("gaps are right to rounding, cancellation or not", "[data]", float, double) {
  std::mt19937_64 random(20240205);
  std::normal_distribution<double> normal;
  for (const std::size_t dim : {1u, 2u, 3u, 16u, 60u, 257u}) {
    for (const int cancelled_bits : {0, 20, 40, 60, 80}) {
      Problem<TestType> p(5, 4, dim);
      for (auto& u : p.decoder)
        u = static_cast<TestType>(std::ldexp(normal(random), static_cast<int>(random() % 40)));
      for (std::size_t i = 0; i < 5; ++i) {
        p.labels[i] = i % 2 ? -1 : 1;
        for (std::size_t t = 0; t < 4; ++t)
          for (std::size_t k = 0; k < dim; ++k) p.token(i, t)[k] = static_cast<TestType>(normal(random));
      }
      if (cancelled_bits > 0 && dim >= 3) {
        // The second half of each token undoes the first half, but for the last coordinate.
        const std::size_t half = (dim - 1) / 2;
        for (std::size_t k = 0; k < half; ++k) p.decoder[half + k] = -p.decoder[k];
        for (std::size_t i = 0; i < 5; ++i)
          for (std::size_t t = 0; t < 4; ++t) {
            std::copy_n(p.token(i, t), half, p.token(i, t) + half);
            for (std::size_t k = 2 * half; k < dim; ++k)
              p.token(i, t)[k] = static_cast<TestType>(std::ldexp(normal(random), -cancelled_bits));
          }
      }
      INFO("dim " << dim << ", cancelled bits " << cancelled_bits);
      require_right_gaps(p.view);
    }
  }
}

TEST_CASE("a best token that plain double arithmetic cannot see is found", "[data]") {
  Problem<double> p(1, 3, 3);
  p.decoder = {1.0, 1.0, 1.0};
  const double rows[3][3] = {{1e12, 1.0, -1e12}, {1e12, 1.0 + 0x1p-52, -1e12}, {1e12, 1.0 - 0x1p-53, -1e12}};
  for (std::size_t t = 0; t < 3; ++t) std::copy_n(rows[t], 3, p.token(0, t));
  const TokenScores scores = score_tokens(p.view);
  CHECK(scores.optimal == std::vector<std::size_t>{1});
  CHECK(scores.optimal_score[0] == 1.0 + 0x1p-52);
  CHECK(scores.gaps == std::vector<double>{0x1p-52, 0.0, 0x1p-52 + 0x1p-53});
  CHECK(scores.not_unique.empty());
}

TEMPLATE_TEST_CASE("equal best tokens are reported and the first of them is optimal", "[data]", float,
                   double) {
  std::mt19937_64 random(7);
  std::normal_distribution<TestType> normal;
  Problem<TestType> p(4, 5, 33);
  for (auto& u : p.decoder) u = normal(random);
  for (auto& x : p.tokens) x = normal(random);
  // Sample 0: the best token again, twice. Sample 1: an inferior token again. Sample 2: the best token
  // reordered among coordinates of equal decoder entries, so that the sums round differently. Sample 3: as it
  // is.
  p.labels = {1, -1, -1, 1};
  for (std::size_t k = 0; k < 32; ++k) p.decoder[k] = TestType(0.1);
  const TokenScores before = score_tokens(p.view);
  REQUIRE(before.not_unique.empty());
  const auto other = [&](std::size_t i, std::size_t step) { return (before.optimal[i] + step) % 5; };
  for (const std::size_t step : {2u, 4u})
    std::copy_n(p.token(0, before.optimal[0]), 33, p.token(0, other(0, step)));
  std::copy_n(p.token(1, other(1, 1)), 33, p.token(1, other(1, 3)));
  std::copy_n(p.token(2, before.optimal[2]), 33, p.token(2, other(2, 1)));
  std::shuffle(p.token(2, other(2, 1)), p.token(2, other(2, 1)) + 32, random);

  const TokenScores scores = score_tokens(p.view);
  CHECK(scores.not_unique == std::vector<std::size_t>{0, 2});
  CHECK(scores.optimal[0] == std::min({before.optimal[0], other(0, 2), other(0, 4)}));
  CHECK(scores.optimal[1] == before.optimal[1]);
  CHECK(scores.optimal[2] == std::min(before.optimal[2], other(2, 1)));
  CHECK(scores.optimal[3] == before.optimal[3]);
  for (const std::size_t step : {0u, 2u, 4u}) CHECK(scores.gaps[other(0, step)] == 0.0);
  CHECK(scores.gaps[10 + other(2, 0)] == 0.0);
  CHECK(scores.gaps[10 + other(2, 1)] == 0.0);
  CHECK(scores.gaps[5 + other(1, 1)] == scores.gaps[5 + other(1, 3)]);
  CHECK(scores.gaps[5 + other(1, 1)] > 0.0);
  require_right_gaps(p.view);
}

TEST_CASE("ragged and strided batches are scored where they lie", "[data]") {
  const std::vector<double> tokens = {9, 9, 9, 1, 2, 9, 3, 1, 9, 0, 5, 9, 7, 0, 9};
  const std::vector<double> decoder = {1, 1};
  const std::vector<std::int8_t> labels = {1, -1};
  const std::vector<std::int64_t> offsets = {1, 2, 5};
  BatchView<double> view;
  view.tokens = tokens.data();
  view.n_samples = 2;
  view.dim = 2;
  view.token_stride = 3;
  view.offsets = offsets.data();
  view.labels = labels.data();
  view.decoder = decoder.data();
  const TokenScores scores = score_tokens(view);
  CHECK(scores.first == std::vector<std::size_t>{0, 1, 4});
  CHECK(scores.optimal == std::vector<std::size_t>{0, 0});
  CHECK(scores.optimal_score == std::vector<double>{3, -4});
  CHECK(scores.gaps == std::vector<double>{0, 0, 1, 3});
  CHECK(scores.not_unique.empty());
}

TEST_CASE("scores without a decoder, of bad batches, or beyond double are refused", "[data]") {
  Problem<double> p(1, 2, 2);
  p.decoder = {1e200, 0};
  p.view.decoder = nullptr;
  require_refused("decoder", {"missing"}, [&] { score_tokens(p.view); });
  p.view.decoder = p.decoder.data();
  p.tokens = {1e200, 0, 1, 0};
  p.view.tokens = p.tokens.data();
  require_refused("tokens", {"sample 0, token 0", "overflows"}, [&] { score_tokens(p.view); });
  p.tokens = {1, 0, 1, -1e200};
  p.decoder[1] = 1e200;
  p.view.tokens = p.tokens.data();
  require_refused("tokens", {"sample 0, token 1", "overflows"}, [&] { score_tokens(p.view); });
  p.decoder = {1e154, 0};
  p.tokens = {1.5e154, 0, -1.5e154, 0};
  p.view.tokens = p.tokens.data();
  p.view.decoder = p.decoder.data();
  require_refused("tokens", {"sample 0, token 1", "gap"}, [&] { score_tokens(p.view); });
  p.labels[0] = 0;
  require_refused("labels", {"0"}, [&] { score_tokens(p.view); });
}
