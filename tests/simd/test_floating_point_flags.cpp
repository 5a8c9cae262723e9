// No kernel raises a floating-point flag but inexact and underflow on clean data: empty lanes, ties, scores
// far apart and exponents far below the range of exp are clean.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "attention_case.h"
#include "lanes_case.h"
#include "runs_case.h"
#include "simd/dispatch.h"
#include "softmax_case.h"
#include "support/floating_point_flags.h"
#include "support/isas.h"

namespace {

using softstep::StoredType;
using softstep::simd::Isa;
using softstep::test::AttentionCase;
using softstep::test::flags_raised_by;
using softstep::test::for_each_isa;
using softstep::test::Lanes;

template <class T>
std::vector<T> numbers(std::size_t n, double size) {
  std::vector<T> out(n);
  for (std::size_t k = 0; k < n; ++k)
    out[k] = static_cast<T>(size * std::sin(static_cast<double>(3 * k + 1)));
  return out;
}

const std::size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33};

}  // namespace

TEMPLATE_TEST_CASE("the flags of an invalid operation, of a division by zero and of an overflow are seen",
                   "[simd]", float, double) {
  volatile TestType zero = 0, one = 1, large = std::numeric_limits<TestType>::max(), out = 0;
  CHECK(flags_raised_by([&] { out = zero / zero; }) == " invalid");
  CHECK(flags_raised_by([&] { out = one / zero; }) == " divide by zero");
  CHECK(flags_raised_by([&] { out = large * large; }) == " overflow");
  CHECK(flags_raised_by([&] { out = one / large; }).empty());
}

TEMPLATE_TEST_CASE("exp raises no flag on any x <= 0, minus infinity among them", "[simd]", float, double) {
  using T = TestType;
  using Limits = std::numeric_limits<T>;
  for_each_isa([&](const Isa& isa) {
    for (const T x : {T(0), -Limits::denorm_min(), T(-1), T(-87.5), T(-104), T(-708.5), T(-746), T(-1e30),
                      Limits::lowest(), -Limits::infinity()})
      for (const std::size_t n : sizes) {
        const std::vector<T> in(n, x);
        std::vector<T> out(n);
        INFO(isa.name << " exp(" << x << ")");
        REQUIRE(flags_raised_by([&] { isa.kernels<T>().exp_nonpositive(in.data(), out.data(), n); }) == "");
      }
  });
}

TEMPLATE_TEST_CASE("attention raises no flag on clean data", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(31);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n_tokens : sizes)
      for (const std::size_t dim : {1, 3, 8, 17, 40})
        for (const double scale : {0.0, 1.0, 1e4, 1e30})
          for (const bool ties : {false, true}) {
            AttentionCase<T> in(n_tokens, dim, 1);
            in.fill(random, scale);
            if (ties)  // in score and in token score
              for (std::size_t t = 1; t < n_tokens; t += 2) {
                in.gaps[t] = in.gaps[t - 1];
                for (std::size_t j = 0; j < dim; ++j) in.at(t, j) = in.at(t - 1, j);
              }
            std::vector<T> gradient(dim), scores(n_tokens), weights(n_tokens);
            softstep::simd::AttentionArgs<T> args{
                in.tokens.data(), in.stride,  n_tokens,        dim,           in.query.data(),
                in.gaps.data(),   in.optimal, gradient.data(), scores.data(), weights.data()};
            INFO(isa.name << " T = " << n_tokens << " d = " << dim << " scores " << scale);
            REQUIRE(flags_raised_by([&] { (void)isa.kernels<T>().attention_of(args); }) == "");
            if constexpr (sizeof(T) == sizeof(float)) {
              // 1.5 with the sign changing, and the smallest subnormal number.
              std::vector<std::uint16_t> halves(in.tokens.size());
              for (std::size_t k = 0; k < halves.size(); ++k)
                halves[k] =
                    static_cast<std::uint16_t>(k % 5 == 4 ? 1 : 0x3e00u | (k % 3 == 0 ? 0x8000u : 0u));
              args.half_tokens = halves.data();
              for (const StoredType storage : {StoredType::f16, StoredType::bf16}) {
                args.storage = storage;
                REQUIRE(flags_raised_by([&] { (void)isa.kernels<T>().attention_of(args); }) == "");
              }
            }
          }
  });
}

TEMPLATE_TEST_CASE("attention_lanes raises no flag on clean data, with lanes that miss tokens or have none",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(32);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t count : {1, 7, 16, 19})
      for (const std::size_t n_tokens : {1, 2, 3, 6, 8, 9, 13})
        for (const int power : {0, 20, 100})
          for (const bool ragged : {false, true}) {
            auto cases = softstep::test::random_cases<T>(random, count, n_tokens, 7, power, ragged);
            for (auto& in : cases)
              if (in.n_tokens > 2)  // a tie
                for (std::size_t j = 0; j < 7; ++j) in.at(1, j) = in.at(0, j);
            Lanes<T> lanes(cases);
            INFO(isa.name << " n = " << count << " T = " << n_tokens << " power " << power);
            REQUIRE(flags_raised_by([&] {
                      lanes.run(isa);
                      if (!ragged) lanes.run_for_a_step(isa);
                    }) == "");
          }
  });
}

TEMPLATE_TEST_CASE("row_factors raises no flag on clean data, zero rows among it", "[simd]", float, double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  for_each_isa([&](const Isa& isa) {
    for (const bool logistic : {true, false})
      for (const std::size_t n : sizes)
        for (const double spread : {0.0, 1.0, 1e3, 1e6, 1e30})
          for (const bool zero_rows : {false, true}) {
            std::vector<T> exponent(n), mean_gap = numbers<T>(n, 2), pivot_gap(n), largest(n, T(1.5)),
                                        unit(n, T(1)), optimal = numbers<T>(n, 3), unit_power(n),
                                        inverse(n, T(1)), scale(n), factor(n), size(n);
            for (std::size_t i = 0; i < n; ++i) {
              exponent[i] = -std::fabs(numbers<T>(n, spread)[i]);
              pivot_gap[i] = static_cast<T>(i % 3);
              if (zero_rows && i % 2 == 0) {
                exponent[i] = unit_power[i] = -infinity;
                largest[i] = mean_gap[i] = T(0);
              }
            }
            INFO(isa.name << " n = " << n << " exponents to " << spread << (zero_rows ? ", zero rows" : ""));
            REQUIRE(flags_raised_by([&] {
                      (void)isa.kernels<T>().row_factors({n, logistic, exponent.data(), mean_gap.data(),
                                                          pivot_gap.data(), largest.data(), unit.data(),
                                                          optimal.data(), unit_power.data(), inverse.data(),
                                                          scale.data(), factor.data(), size.data()});
                    }) == "");
          }
  });
}

TEMPLATE_TEST_CASE(
    "run_factors, run_gaps, run_gram and run_move raise no flag on clean data, zero rows among it", "[simd]",
    float, double) {
  using T = TestType;
  std::mt19937_64 random(34);
  for_each_isa([&](const Isa& isa) {
    for (const bool logistic : {true, false})
      for (const std::size_t n : sizes)
        for (const double spread : {0.0, 1e3, 1e30})
          for (const bool zero_rows : {false, true}) {
            softstep::test::RunsCase<T> in(isa, n, 3, logistic, random, spread);
            for (std::size_t k = 0; zero_rows && k < n * in.width; k += 2) {
              in.exponent[k] = -std::numeric_limits<T>::infinity();
              in.unit_power[k] = -std::numeric_limits<double>::infinity();
              in.largest[k] = in.mean_gap[k] = in.shifted_gap[k] = T(0);
            }
            INFO(isa.name << " n = " << n << " exponents to " << spread << (zero_rows ? ", zero rows" : ""));
            REQUIRE(flags_raised_by([&] {
                      isa.kernels<T>().run_factors(in.factors_args());
                      isa.kernels<T>().run_gaps(in.gaps_args());
                      isa.kernels<T>().run_gram(in.gram_args());
                      isa.kernels<T>().run_move(in.move_args());
                    }) == "");
          }
  });
}

TEMPLATE_TEST_CASE("products, dot, axpy and scalings raise no flag on clean data", "[simd]", float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    const auto& kernels = isa.kernels<T>();
    for (const std::size_t n : sizes)
      for (const bool add : {false, true}) {
        const std::size_t m = n + 2, k = n + 1;
        const std::vector<T> a = numbers<T>(m * k, 2), b = numbers<T>(n * k, 2);
        std::vector<T> c = numbers<T>(m * n, 1), x = numbers<T>(n, 1), y = numbers<T>(n, 1);
        INFO(isa.name << " n = " << n);
        REQUIRE(flags_raised_by([&] {
                  kernels.product_nt({m, n, k, a.data(), k, b.data(), k, c.data(), n, add, T(0.5)});
                  kernels.product_nn({m, n, k, a.data(), k, b.data(), n, c.data(), n, add, T(0.5)});
                  kernels.product_tn({m, n, k, a.data(), m, b.data(), n, c.data(), n, add, T(0.5)});
                }) == "");
        REQUIRE(flags_raised_by([&] { kernels.axpy(n, T(0.1), x.data(), y.data()); }) == "");
        REQUIRE(flags_raised_by([&] { (void)kernels.dot(n, x.data(), y.data()); }) == "");
        REQUIRE(flags_raised_by([&] { kernels.scale_row(n, T(0.1), T(3), x.data()); }) == "");
        constexpr std::size_t lanes = softstep::simd::lane_multiple<T>;
        std::vector<double> factors(lanes, 0.3);
        std::vector<T> rows = numbers<T>(n * lanes, 1);
        REQUIRE(flags_raised_by([&] {
                  kernels.scale_lanes({n, lanes, 0, lanes, factors.data(), factors.data(), rows.data()});
                }) == "");
      }
  });
}

TEMPLATE_TEST_CASE(
    "softmax_rows and softmax_gradient raise no flag on clean data, -infinity among the scores", "[simd]",
    float, double) {
  using T = TestType;
  using softstep::test::ScoreKind;
  std::mt19937_64 random(33);
  for_each_isa([&](const Isa& isa) {
    for (const ScoreKind kind :
         {ScoreKind::near, ScoreKind::far, ScoreKind::very_far, ScoreKind::equal, ScoreKind::few_values,
          ScoreKind::rising, ScoreKind::falling, ScoreKind::some_hidden, ScoreKind::all_hidden})
      for (const std::size_t n : sizes)
        for (const bool ranges : {false, true}) {
          softstep::test::SoftmaxCase<T> in(5, 2 * n, 1, ranges, kind, random);
          INFO(isa.name << ' ' << softstep::test::name(kind) << ", blocks of " << n);
          for (const std::size_t first : {std::size_t{0}, n}) {
            in.run(isa, first, n);
            REQUIRE(in.flags == "");
          }
          // The rows as the forward pass leaves them.
          std::vector<T> scores, slopes = numbers<T>(5 * 2 * n, 3), p_a(5, T(0.5)), rest(5, T(0.25)),
                                 delta(5, T(1)), of_pivot(5, T(-0.1));
          for (std::size_t r = 0; r < 5; ++r)
            for (std::size_t j = 0; j < 2 * n; ++j) scores.push_back(in.score(r, j));
          REQUIRE(flags_raised_by([&] {
                    isa.kernels<T>().softmax_gradient(
                        {5, 2 * n, scores.data(), slopes.data(), 2 * n, ranges ? in.begin.data() : nullptr,
                         ranges ? in.end.data() : nullptr, 0, in.second.data(), in.pivot.data(), p_a.data(),
                         rest.data(), delta.data(), of_pivot.data()});
                  }) == "");
        }
  });
}

TEMPLATE_TEST_CASE("soft_cap raises no flag on clean data, -infinity among the scores", "[simd]", float,
                   double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : sizes)
      for (const double size : {0.0, 1e-30, 1e-3, 1.0, 50.0, 1e4, 1e30})
        for (const T cap : {T(1), T(30)})
          for (const bool hidden : {false, true}) {
            std::vector<T> x = numbers<T>(n, size), derivative(n);
            if (hidden) x[n / 2] = -std::numeric_limits<T>::infinity();
            INFO(isa.name << " n = " << n << " scores to " << size << ", cap " << cap);
            REQUIRE(flags_raised_by([&] {
                      isa.kernels<T>().soft_cap({1, n, cap, x.data(), n, derivative.data()});
                    }) == "");
          }
  });
}

TEMPLATE_TEST_CASE(
    "pack_rows, transpose, product_panels, row_scores and weighted_rows raise no flag on clean data",
    "[simd]", float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    const auto& kernels = isa.kernels<T>();
    for (const std::size_t n : sizes) {
      const std::size_t m = n + 2, k = n + 1, c = kernels.tile_columns, wide = (n + c - 1) / c * c;
      const std::vector<T> a = numbers<T>(m * k, 2), panels = numbers<T>(k * wide, 2);
      std::vector<T> out = numbers<T>(m * std::max(n, k), 1), row(n), column(m);
      INFO(isa.name << " n = " << n);
      REQUIRE(flags_raised_by([&] {
                kernels.pack_rows({m, k, a.data(), static_cast<std::ptrdiff_t>(k), StoredType::working,
                                   nullptr, T(0.3), out.data(), k});
                kernels.transpose({m, k, a.data(), static_cast<std::ptrdiff_t>(k), out.data(), m});
              }) == "");
      for (const bool add : {false, true})
        for (const bool transposed : {false, true})
          REQUIRE(flags_raised_by([&] {
                    kernels.product_panels({m, n, k, a.data(), transposed ? m : k, transposed, panels.data(),
                                            k, out.data(), n, add});
                  }) == "");
      softstep::simd::AttentionArgs<T> args{};
      args.tokens = a.data();
      args.token_stride = args.dim = k;
      args.n_tokens = m;
      args.projected_query = panels.data();
      args.scores = column.data();
      args.weights = column.data();
      args.gradient = out.data();
      const auto passes = [&] {
        kernels.row_scores(args);
        kernels.weighted_rows(args);
      };
      REQUIRE(flags_raised_by(passes) == "");
      if constexpr (sizeof(T) == sizeof(float)) {
        // 1.5 with the sign changing, and the smallest subnormal number.
        std::vector<std::uint16_t> halves(m * k);
        for (std::size_t i = 0; i < halves.size(); ++i)
          halves[i] = static_cast<std::uint16_t>(i % 5 == 4 ? 1 : 0x3e00u | (i % 3 == 0 ? 0x8000u : 0u));
        args.half_tokens = halves.data();
        for (const StoredType storage : {StoredType::f16, StoredType::bf16}) {
          args.storage = storage;
          REQUIRE(flags_raised_by(passes) == "");
          REQUIRE(flags_raised_by([&] {
                    kernels.pack_rows({m, k, nullptr, static_cast<std::ptrdiff_t>(k), storage, halves.data(),
                                       T(0.3), out.data(), k});
                  }) == "");
        }
      }
    }
  });
}
