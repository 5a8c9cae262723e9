// The attention kernel on every instruction set against the scalar reference: scores from tokens, then
// everything else from the scores, each within the bound derived in core/reference/error_bounds.h.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "attention_case.h"
#include "attention_check.h"
#include "core/reference/attention.h"
#include "core/reference/error_bounds.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::AttentionRatios;
using softstep::test::AttentionRun;
using softstep::test::for_each_isa;
using Number = long double;

enum class Where { anywhere, at_optimal, elsewhere, score_ties, gap_ties };

// Moves the optimal token, or makes ties, once the scores of the case are known.
template <class T>
void arrange(AttentionCase<T>& in, Where where, const Isa& scalar) {
  const auto scores = softstep::test::run(scalar, in, false).scores;
  const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  const std::size_t n = in.n_tokens;
  if (where == Where::at_optimal || where == Where::elsewhere) {
    in.gaps[in.optimal] = T(1.5);
    in.set_optimal(where == Where::at_optimal ? best : (best + 1) % n);
  } else if (where == Where::score_ties) {
    // Every second token is a copy of the best in all but its own score gap.
    for (std::size_t t = 0; t < n; t += 2)
      for (std::size_t j = 0; j < in.dim; ++j) in.at(t, j) = in.at(best, j);
  } else if (where == Where::gap_ties) {
    for (std::size_t t = 0; t < n; t += 3) in.gaps[t] = in.gaps[best];
  }
}

const std::size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};

}  // namespace

TEMPLATE_TEST_CASE("attention keeps its bounds at every shape around the lane counts", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(1);
  for_each_isa([&](const Isa& isa) {
    AttentionRatios ratios;
    const auto hold = [&](std::size_t n, std::size_t d, double scale) {
      AttentionCase<T> in(n, d, (n + d) % 3);
      in.fill(random, scale);
      const AttentionRun<T> out = softstep::test::run(isa, in);
      INFO(isa.name << " T = " << n << " d = " << d << " scale " << scale);
      REQUIRE(out.untouched);
      compare(in, out, ratios);
      if (!ratios.ok()) FAIL(ratios.scores << ' ' << ratios.stats << ' ' << ratios.row);
      // Without the gradient: the same numbers, to the bit.
      const AttentionRun<T> short_run = softstep::test::run(isa, in, false);
      REQUIRE(std::memcmp(&short_run.stats.mean_gap, &out.stats.mean_gap, sizeof(T)) == 0);
      REQUIRE(short_run.scores == out.scores);
      REQUIRE(short_run.stats.largest == T(0));
    };
    for (const std::size_t n : sizes)
      for (const std::size_t d : sizes)
        for (const double scale : {1.0, 40.0}) hold(n, d, scale);
    // There is code of its own for every number of vectors in a row up to 16, and for longer rows.
    const std::size_t lanes = isa.kernels<T>().vector_width;
    for (std::size_t vectors = 1; vectors <= 38; ++vectors)
      for (const std::size_t d : {vectors * lanes, vectors * lanes + 1, vectors * lanes + lanes - 1})
        for (const std::size_t n : {3, 4, 9}) hold(n, d, 4.0);
  });
}

TEMPLATE_TEST_CASE("the bits of a sample do not depend on its neighbours in a call", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(7);
  // The third is too large to be taken in turn with another.
  const std::size_t shapes[][2] = {{5, 10}, {20, 33}, {90, 300}, {3, 7}, {1, 4}};
  constexpr std::size_t n = std::size(shapes);
  std::vector<AttentionCase<T>> cases;
  for (const auto& [tokens, d] : shapes) {
    cases.emplace_back(tokens, d, 0);
    cases.back().fill(random, 4.0);
  }
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    std::vector<std::vector<T>> rows, scores, weights;
    std::vector<softstep::simd::AttentionArgs<T>> args;
    for (const AttentionCase<T>& in : cases) {
      rows.emplace_back(in.dim);
      scores.emplace_back(in.n_tokens);
      weights.emplace_back(in.n_tokens);
      args.push_back({in.tokens.data(), in.stride, in.n_tokens, in.dim, in.query.data(), in.gaps.data(),
                      in.optimal, rows.back().data(), scores.back().data(), weights.back().data()});
    }
    for (const std::size_t first : {0, 1, 2}) {
      softstep::simd::AttentionStats<T> stats[n];
      isa.kernels<T>().attention(args.data() + first, n - first, stats);
      for (std::size_t k = first; k < n; ++k) {
        const AttentionRun<T> alone = softstep::test::run(isa, cases[k]);
        CHECK(rows[k] == alone.gradient);
        CHECK(scores[k] == alone.scores);
        CHECK(weights[k] == alone.weights);
        CHECK(stats[k - first].pivot == alone.stats.pivot);
        CHECK(stats[k - first].mean_gap == alone.stats.mean_gap);
        CHECK(stats[k - first].largest == alone.stats.largest);
      }
    }
  });
}

TEMPLATE_TEST_CASE("attention keeps its bounds saturated at the optimal token, at another, and with ties",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(2);
  const Isa& scalar = *softstep::test::runnable_isas().front();
  for_each_isa([&](const Isa& isa) {
    AttentionRatios ratios;
    for (const Where where :
         {Where::anywhere, Where::at_optimal, Where::elsewhere, Where::score_ties, Where::gap_ties})
      for (const double scale : {0.0, 1e-3, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6})
        for (const std::size_t n : {2, 3, 6, 17})
          for (const std::size_t d : {1, 5, 16, 33}) {
            AttentionCase<T> in(n, d, 1);
            in.fill(random, scale);
            arrange(in, where, scalar);
            INFO(isa.name << " T = " << n << " d = " << d << " scale " << scale << " case "
                          << static_cast<int>(where));
            compare(in, softstep::test::run(isa, in), ratios);
            if (!ratios.ok()) FAIL(ratios.scores << ' ' << ratios.stats << ' ' << ratios.row);
          }
  });
}

TEMPLATE_TEST_CASE("attention of scores that differ by more than exp can hold is right to a few roundings",
                   "[simd]", float, double) {
  // Two tokens, exact scores -h and 0: r_0 = e^c p_a D = -r_1 with p_a = 1 / (1 + e^-h), which is 1 for h
  // > 40.
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const double h : {50.0, 128.0, 1024.0, 65536.0, 1048576.0})
      for (const std::size_t optimal : {0, 1}) {
        AttentionCase<T> in(2, 2, 0);
        in.query[0] = static_cast<T>(h);
        in.query[1] = T(0);
        in.at(0, 0) = T(-1);
        in.at(0, 1) = T(3);
        in.at(1, 0) = T(0);
        in.at(1, 1) = T(1);
        in.gaps[0] = in.gaps[1] = T(0.75);
        in.set_optimal(optimal);
        const AttentionRun<T> out = softstep::test::run(isa, in);
        const T difference = optimal == 1 ? T(-0.75) : T(0.75);  // D_0
        CHECK(out.stats.exponent == static_cast<T>(-h));
        CHECK(out.stats.pivot_attention == T(1));
        CHECK(out.stats.mean_gap == difference);
        CHECK(out.weights == std::vector<T>{difference, -difference});
        CHECK(out.gradient == std::vector<T>{-difference, 2 * difference});
      }
  });
}

TEMPLATE_TEST_CASE(
    "attention weights sum to zero and do not see a constant added to all scores or a change of order",
    "[simd]", float, double) {
  using T = TestType;
  const double u = softstep::test::unit_roundoff<T>;
  std::mt19937_64 random(3);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (const std::size_t n : {2, 5, 16, 33}) {
      AttentionCase<T> in(n, 4, 0);
      in.fill(random, 3.0);
      // One column of ones and a query on the first column alone: scores are that column, exactly.
      for (std::size_t t = 0; t < n; ++t) {
        in.at(t, 0) = static_cast<T>(std::round(static_cast<double>(in.at(t, 0)) * 64.0) / 8.0);
        in.at(t, 3) = T(1);
      }
      for (std::size_t j = 1; j < 4; ++j) in.query[j] = T(0);
      in.query[0] = T(1);
      const AttentionRun<T> out = softstep::test::run(isa, in);
      // The column of ones receives sum_t r_t = 0.
      double size = 0.0;
      for (const T r : out.weights) size += std::fabs(static_cast<double>(r));
      CHECK(std::fabs(static_cast<double>(out.gradient[3])) <=
            softstep::reference::row_error_factor(n) * u * 8.0 * size);
      in.query[3] = T(1024);  // scores stay exact
      const AttentionRun<T> moved = softstep::test::run(isa, in);
      CHECK(moved.weights == out.weights);
      CHECK(moved.gradient == out.gradient);
      CHECK(moved.stats.exponent == out.stats.exponent);
      // Tokens in reverse order: the same terms, added in another order.
      AttentionCase<T> reversed(n, 4, 0);
      for (std::size_t j = 0; j < 4; ++j) reversed.query[j] = in.query[j];
      for (std::size_t t = 0; t < n; ++t) {
        reversed.gaps[t] = in.gaps[n - 1 - t];
        for (std::size_t j = 0; j < 4; ++j) reversed.at(t, j) = in.at(n - 1 - t, j);
      }
      reversed.optimal = n - 1 - in.optimal;
      const AttentionRun<T> back = softstep::test::run(isa, reversed);
      for (std::size_t t = 0; t < n; ++t)
        CHECK(std::fabs(static_cast<double>(back.weights[n - 1 - t]) - static_cast<double>(out.weights[t])) <=
              2.0 * softstep::reference::row_error_factor(n) * u * 8.0 * size);
    }
  });
}
