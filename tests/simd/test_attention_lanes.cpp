// The attention kernel with one sample to a lane: every lane against the scalar reference, within the bounds of the kernel
// that takes one sample at a time. Tokens and queries are small multiples of powers of two, so that scores are exact in
// any order of summation and the reference starts from the same ones.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "attention_case.h"
#include "attention_check.h"
#include "support/isas.h"

namespace {

using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::AttentionRun;
using softstep::test::for_each_isa;
using softstep::test::Guarded;

constexpr std::size_t n_stats = 8;

// Samples packed for the kernel, its outputs, and what they say of one sample.
template <class T>
struct Lanes {
  static constexpr std::size_t m = softstep::simd::lane_multiple<T>;
  std::vector<AttentionCase<T>>& cases;
  std::size_t n_tokens = 0, dim, n_lanes;
  Guarded<T> tokens, projected, gaps, optimal, gradient, weights, stats;

  explicit Lanes(std::vector<AttentionCase<T>>& samples)
      : cases(samples),
        n_tokens(longest(samples)),
        dim(samples[0].dim),
        n_lanes((samples.size() + m - 1) / m * m),
        tokens(n_tokens * dim * n_lanes),
        projected(dim * n_lanes),
        gaps(n_tokens * n_lanes),
        optimal(n_lanes),
        gradient(dim * n_lanes),
        weights(n_tokens * n_lanes),
        stats(n_stats * n_lanes) {
    for (std::size_t k = 0; k < gaps.size(); ++k) gaps[k] = std::numeric_limits<T>::quiet_NaN();
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const AttentionCase<T>& in = samples[i];
      optimal[i] = static_cast<T>(in.optimal);
      for (std::size_t j = 0; j < dim; ++j) projected[j * n_lanes + i] = in.query[j];
      for (std::size_t t = 0; t < in.n_tokens; ++t) {
        gaps[t * n_lanes + i] = in.gaps[t];
        for (std::size_t j = 0; j < dim; ++j)
          tokens[((i / m * n_tokens + t) * dim + j) * m + i % m] = in.at(t, j);
      }
    }
  }
  static std::size_t longest(const std::vector<AttentionCase<T>>& samples) {
    std::size_t most = 0;
    for (const auto& in : samples) most = std::max(most, in.n_tokens);
    return most;
  }
  void run(const Isa& isa, bool want_gradient = true) {
    T* s = stats.data();
    const auto field = [&](std::size_t k) { return s + k * n_lanes; };
    // In two halves, as threads do it.
    const std::size_t middle = n_lanes / m / 2 * m;
    for (const auto& [begin, end] : {std::pair{std::size_t{0}, middle}, std::pair{middle, n_lanes}}) {
      isa.kernels<T>().attention_lanes(
          {tokens.data(), n_lanes, n_tokens, dim, begin, end, projected.data(), gaps.data(), optimal.data(),
           want_gradient ? gradient.data() : nullptr, weights.data(), field(0), field(1), field(2), field(3),
           field(4), field(5), field(6), field(7)});
    }
  }
  T field(std::size_t k, std::size_t i) const { return stats[k * n_lanes + i]; }
  AttentionRun<T> sample(std::size_t i) const {
    AttentionRun<T> out;
    out.stats = {static_cast<std::size_t>(field(0, i)),
                 field(1, i),
                 field(2, i),
                 field(3, i),
                 field(4, i),
                 field(5, i),
                 field(6, i),
                 field(7, i)};
    const AttentionCase<T>& in = cases[i];
    for (std::size_t t = 0; t < in.n_tokens; ++t) {
      long double score = 0;
      for (std::size_t j = 0; j < dim; ++j) score += static_cast<long double>(in.at(t, j)) * in.query[j];
      out.scores.push_back(static_cast<T>(score));
      out.weights.push_back(weights[t * n_lanes + i]);
    }
    for (std::size_t j = 0; j < dim; ++j) out.gradient.push_back(gradient[j * n_lanes + i]);
    return out;
  }
};

// Multiples of 1/64 up to 1; the query times a power of two.
template <class T>
std::vector<AttentionCase<T>> random_cases(std::mt19937_64& random, std::size_t count, std::size_t n_tokens,
                                           std::size_t dim, int power, bool ragged) {
  std::vector<AttentionCase<T>> out;
  for (std::size_t i = 0; i < count; ++i) {
    AttentionCase<T>& in = out.emplace_back(ragged ? 1 + random() % n_tokens : n_tokens, dim, 0);
    in.fill(random, 1.0);
    const auto sixty_fourth = [&] { return std::ldexp(static_cast<double>(random() % 129) - 64.0, -6); };
    for (std::size_t t = 0; t < in.n_tokens; ++t)
      for (std::size_t j = 0; j < dim; ++j) in.at(t, j) = static_cast<T>(sixty_fourth());
    for (std::size_t j = 0; j < dim; ++j) in.query[j] = static_cast<T>(std::ldexp(sixty_fourth(), power));
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("attention_lanes keeps the bounds of attention in every lane", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(11);
  for_each_isa([&](const Isa& isa) {
    softstep::test::AttentionRatios ratios;
    for (const std::size_t count : {1, 7, 16, 19, 40})
      for (const std::size_t n_tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13})
        for (const std::size_t dim : {1, 2, 3, 7, 10, 16, 33})
          for (const int power : {0, 4, 10, 20}) {
            auto cases = random_cases<T>(random, count, n_tokens, dim, power, power != 4);
            Lanes<T> lanes(cases);
            lanes.run(isa);
            INFO(isa.name << " n = " << count << " T = " << n_tokens << " d = " << dim << " power " << power);
            for (std::size_t i = 0; i < count; ++i) {
              const AttentionRun<T> out = lanes.sample(i);
              T largest = 0;
              for (const T g : out.gradient) largest = std::max(largest, std::fabs(g));
              REQUIRE(out.stats.largest == largest);
              compare(cases[i], out, ratios);
            }
            if (!ratios.ok()) FAIL(ratios.scores << ' ' << ratios.stats << ' ' << ratios.row);
            // Lanes of no sample say so.
            for (std::size_t i = count; i < lanes.n_lanes; ++i) {
              REQUIRE(lanes.field(1, i) == -std::numeric_limits<T>::infinity());
              REQUIRE(lanes.field(7, i) == T(0));
              for (std::size_t j = 0; j < dim; ++j) REQUIRE(lanes.gradient[j * lanes.n_lanes + i] == T(0));
            }
          }
  });
}

TEMPLATE_TEST_CASE("a NaN in one lane of attention_lanes is seen there and nowhere else", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(12);
  for_each_isa([&](const Isa& isa) {
    for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
      auto cases = random_cases<T>(random, 20, 4, 6, 3, false);
      cases[9].query[2] = bad;
      cases[9].at(1, 2) = T(1);
      Lanes<T> lanes(cases);
      lanes.run(isa);
      INFO(isa.name);
      for (std::size_t i = 0; i < cases.size(); ++i) REQUIRE(std::isnan(lanes.field(1, i)) == (i == 9));
    }
  });
}

TEMPLATE_TEST_CASE("attention takes scores as given and yields the weights of its own", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(13);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : {1, 2, 5, 16, 33}) {
      AttentionCase<T> in(n, 7, 0);
      in.fill(random, 10.0);
      const AttentionRun<T> whole = softstep::test::run(isa, in);
      std::vector<T> scores = whole.scores, weights(n);
      softstep::simd::AttentionArgs<T> args{};
      args.n_tokens = n;
      args.score_gaps = in.gaps.data();
      args.optimal = in.optimal;
      args.scores = scores.data();
      args.weights = weights.data();
      const auto stats = isa.kernels<T>().attention_of(args);
      INFO(isa.name << " T = " << n);
      REQUIRE(stats.pivot == whole.stats.pivot);
      REQUIRE(std::memcmp(&stats.exponent, &whole.stats.exponent, sizeof(T)) == 0);
      REQUIRE(std::memcmp(&stats.mean_gap, &whole.stats.mean_gap, sizeof(T)) == 0);
      REQUIRE(weights == whole.weights);
      REQUIRE(scores == whole.scores);
    }
  });
}
