// Values at which the attention kernel could go wrong silently: one token, nothing but ties, NaN and infinite
// scores.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "attention_case.h"
#include "support/isas.h"

namespace {

using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::AttentionRun;
using softstep::test::for_each_isa;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
bool all_nan(const AttentionRun<T>& out) {
  bool nan = std::isnan(out.stats.exponent) && std::isnan(out.stats.pivot_attention) &&
             std::isnan(out.stats.mean_gap) && std::isnan(out.stats.optimal_score);
  for (const T g : out.gradient) nan = nan && std::isnan(g);
  return nan;
}

template <class T>
void require_zero(const AttentionRun<T>& out) {
  CHECK(out.stats.exponent == -infinity<T>);
  CHECK(out.stats.mean_gap == T(0));
  CHECK(out.stats.rest == T(0));
  for (const T r : out.weights) CHECK(r == T(0));
  for (const T g : out.gradient) CHECK(g == T(0));
}

}  // namespace

TEMPLATE_TEST_CASE("a sample with one token has no gradient", "[simd]", float, double) {
  std::mt19937_64 random(1);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const std::size_t d : {1, 3, 16, 33})
      for (const double scale : {0.0, 1.0, 1e6}) {
        AttentionCase<TestType> in(1, d, 0);
        in.fill(random, scale);
        const auto out = softstep::test::run(isa, in);
        require_zero(out);
        CHECK(out.stats.pivot_attention == TestType(1));
        CHECK(out.stats.ties == TestType(0));
        CHECK(out.stats.optimal_score == TestType(0));
      }
  });
}

TEMPLATE_TEST_CASE("tokens of one score gap only give no gradient, and attention still", "[simd]", float,
                   double) {
  std::mt19937_64 random(2);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const std::size_t n : {2, 5, 16, 17}) {
      AttentionCase<TestType> in(n, 7, 0);
      in.fill(random, 0.0);
      for (std::size_t t = 0; t < n; ++t) in.gaps[t] = TestType(0);
      const auto out = softstep::test::run(isa, in);
      require_zero(out);
      CHECK(out.stats.ties == static_cast<TestType>(n - 1));
      CHECK(out.stats.pivot_attention == TestType(1) / static_cast<TestType>(n));
    }
  });
}

TEMPLATE_TEST_CASE("a score that is not finite makes everything NaN, wherever it stands", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(3);
  for_each_isa([&](const Isa& isa) {
    for (std::size_t n = 1; n <= 19; ++n)
      for (std::size_t bad = 0; bad < n; ++bad)
        for (const T special : {std::numeric_limits<T>::quiet_NaN(), infinity<T>, -infinity<T>})
          for (const bool all : {false, true})
            for (const bool equal_gaps : {false, true}) {
              AttentionCase<T> in(n, 3, 0);
              in.fill(random, 1.0);
              for (std::size_t j = 0; j < 3; ++j) in.query[j] = T(1);
              for (std::size_t t = 0; t < n; ++t)
                if (all || t == bad) in.at(t, bad % 3) = special;
              if (equal_gaps)
                for (std::size_t t = 0; t < n; ++t) in.gaps[t] = T(0);
              const auto out = softstep::test::run(isa, in);
              INFO(isa.name << ": score " << special << " of token " << bad << " of " << n
                            << (all ? ", of all" : "") << (equal_gaps ? ", equal gaps" : ""));
              REQUIRE(out.stats.pivot < n);
              REQUIRE(out.untouched);
              if (!all_nan(out)) REQUIRE(all_nan(out));
            }
  });
}

TEMPLATE_TEST_CASE("scores whose difference overflows are not taken for a sample without gradient", "[simd]",
                   float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    AttentionCase<T> in(2, 1, 0);
    in.query[0] = std::numeric_limits<T>::max();
    in.at(0, 0) = T(1);
    in.at(1, 0) = T(-1);
    in.gaps[0] = T(0);
    in.gaps[1] = T(1);
    const auto out = softstep::test::run(isa, in);
    CHECK(std::isnan(out.stats.exponent));
    for (const T g : out.gradient) CHECK(std::isnan(g));
  });
}

TEMPLATE_TEST_CASE("NaN between the rows and in nothing that is read does no harm", "[simd]", float, double) {
  // AttentionCase fills the space between rows with NaN.
  std::mt19937_64 random(4);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t pad : {1, 2, 7, 15, 16}) {
      AttentionCase<TestType> in(9, 10, pad);
      in.fill(random, 2.0);
      const auto out = softstep::test::run(isa, in);
      for (const TestType g : out.gradient) CHECK(std::isfinite(g));
    }
  });
}
