// The attention kernel with one sample to a lane: every lane against the scalar reference, within the bounds
// of the kernel that takes one sample at a time. Tokens and queries are small multiples of powers of two, so
// that scores are exact in any order of summation and the reference starts from the same ones.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "attention_case.h"
#include "attention_check.h"
#include "lanes_case.h"
#include "support/isas.h"

namespace {

using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::AttentionRun;
using softstep::test::for_each_isa;
using softstep::test::Lanes;
using softstep::test::random_cases;

// The attention of each token of a sample, within its bound. p_a keeps the one of AttentionStats; e^x of an
// argument that is rounded once has 3 (1 + |x|) u.
template <class T>
bool attention_is_right(const Lanes<T>& lanes, std::size_t i) {
  const double u = softstep::test::unit_roundoff<T>;
  const AttentionCase<T>& in = lanes.cases[i];
  const std::vector<T> scores = lanes.sample(i).scores;
  const std::vector<long double> s(scores.begin(), scores.end()),
      gaps(in.gaps.data(), in.gaps.data() + in.n_tokens);
  const auto exact = softstep::reference::attention(in.n_tokens, s.data(), gaps.data(), in.optimal);
  const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
  const long double c = softstep::reference::other_exponent(exact, gaps.data());
  for (std::size_t t = 0; t < lanes.n_tokens; ++t) {
    const long double found = lanes.attention[t * lanes.n_lanes + i];
    if (t >= in.n_tokens) {
      if (found != 0) return false;
      continue;
    }
    const long double z = s[t] - s[pivot];
    double roundings =
        7.0 * static_cast<double>(in.n_tokens) + 6 + 3 + 3 * (1 + static_cast<double>(std::fabs(z)));
    if (gaps[t] != gaps[pivot])
      roundings += 3 * static_cast<double>(std::fabs(z - c) - std::fabs(z)) +
                   3 * (1 + static_cast<double>(std::fabs(c)));
    const double bound = 1.01 * roundings * u * static_cast<double>(exact.attention[t]) +
                         2 * static_cast<double>(std::numeric_limits<T>::min());
    if (!(std::fabs(static_cast<double>(found - exact.attention[t])) <= bound)) return false;
  }
  return true;
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
              REQUIRE(attention_is_right(lanes, i));
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

TEMPLATE_TEST_CASE("attention_lanes for a step keeps the bounds of attention", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(15);
  const double u = softstep::test::unit_roundoff<T>;
  for_each_isa([&](const Isa& isa) {
    softstep::test::AttentionRatios ratios;
    for (const std::size_t count : {1, 16, 19})
      for (const std::size_t n_tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 14})
        for (const std::size_t dim : {1, 2, 7, 10, 12, 33})
          for (const int power : {0, 4, 10, 20}) {
            auto cases = random_cases<T>(random, count, n_tokens, dim, power, false);
            Lanes<T> lanes(cases);
            lanes.run(isa);
            const std::vector<T> shifted(lanes.shifted.data(), lanes.shifted.data() + count);
            // What a step does not need stays as it is, the rest is written anew.
            for (const std::size_t k : {0, 1, 3, 7})
              for (std::size_t i = 0; i < count; ++i) lanes.stats[k * lanes.n_lanes + i] = T(-9);
            for (std::size_t k = 0; k < lanes.gradient.size(); ++k) lanes.gradient[k] = T(-9);
            lanes.run_for_a_step(isa);
            INFO(isa.name << " n = " << count << " T = " << n_tokens << " d = " << dim << " power " << power);
            for (std::size_t i = 0; i < count; ++i) {
              compare(cases[i], lanes.sample(i), ratios);
              const long double exact =
                  std::exp(static_cast<long double>(lanes.field(1, i))) * lanes.field(3, i);
              const double bound = 1.01 * 4 * u * static_cast<double>(std::fabs(exact)) +
                                   static_cast<double>(std::numeric_limits<T>::min());
              REQUIRE(std::fabs(static_cast<double>(lanes.shifted[i] - exact)) <= bound);
              // The two ways differ by their bounds of mu.
              REQUIRE(std::fabs(shifted[i] - lanes.shifted[i]) <=
                      T(40 * u * static_cast<double>(n_tokens)) * std::fabs(lanes.shifted[i]) +
                          std::numeric_limits<T>::min());
            }
            if (!ratios.ok()) FAIL(ratios.scores << ' ' << ratios.stats << ' ' << ratios.row);
          }
  });
}

// Against a token of zeros, whose score is exactly 0, the exponent is minus the size of the other token's
// score, unrounded.
TEMPLATE_TEST_CASE("attention_lanes keeps the bound of its scores", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(14);
  const double u = softstep::test::unit_roundoff<T>;
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n_tokens : {2, 3, 9})
      for (const std::size_t dim : {1, 2, 3, 7, 16, 33, 200}) {
        std::vector<AttentionCase<T>> cases;
        for (std::size_t i = 0; i < 5; ++i) {
          AttentionCase<T>& in = cases.emplace_back(n_tokens, dim, 0);
          in.fill(random, 1.0);
          for (std::size_t t = 0; t < n_tokens; ++t) {
            in.gaps[t] = static_cast<T>(t == 0 ? 0 : 1);
            for (std::size_t j = 0; j < dim; ++j) in.at(t, j) = t == 0 ? T(0) : in.at(1, j);
          }
          in.optimal = 0;
        }
        Lanes<T> lanes(cases);
        lanes.run(isa);
        INFO(isa.name << " T = " << n_tokens << " d = " << dim);
        for (std::size_t i = 0; i < cases.size(); ++i) {
          long double exact = 0, size = 0;
          for (std::size_t j = 0; j < dim; ++j) {
            const long double term = static_cast<long double>(cases[i].at(1, j)) * cases[i].query[j];
            exact += term;
            size += std::fabs(term);
          }
          const auto error = static_cast<double>(std::fabs(-std::fabs(exact) - lanes.field(1, i)));
          const double bound = 1.01 * u * static_cast<double>(dim) * static_cast<double>(size);
          if (!(error <= bound)) REQUIRE(error <= bound);
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
      for (const bool for_a_step : {false, true}) {
        Lanes<T> lanes(cases);
        if (for_a_step)
          lanes.run_for_a_step(isa);
        else
          lanes.run(isa);
        INFO(isa.name << (for_a_step ? ", for a step" : ""));
        for (std::size_t i = 0; i < cases.size(); ++i) {
          REQUIRE(std::isnan(lanes.field(1, i)) == (i == 9));
          REQUIRE(std::isnan(lanes.field(7, i)) == (i == 9));
        }
      }
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
