// What gradient rows are multiplied by, against the scalar reference in long double. Sizes and factors err by the
// roundings stated in simd/kernels/row_factors.h.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/reference/kernels.h"
#include "support/guarded.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using Number = long double;

template <class T>
struct Rows {
  std::size_t n;
  bool logistic;
  Guarded<T> exponent, mean_gap, pivot_gap, largest, gap_unit, optimal_score, log_unit, inverse_query, scale,
      factor, size;

  Rows(std::size_t count, bool is_logistic, std::mt19937_64& random, double spread)
      : n(count),
        logistic(is_logistic),
        exponent(n),
        mean_gap(n),
        pivot_gap(n),
        largest(n),
        gap_unit(n),
        optimal_score(n),
        log_unit(n),
        inverse_query(n),
        scale(n),
        factor(n),
        size(n) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (std::size_t i = 0; i < n; ++i) {
      exponent[i] = static_cast<T>(-spread * uniform(random));
      mean_gap[i] = static_cast<T>(1.0 - 2.0 * uniform(random));
      pivot_gap[i] = static_cast<T>(random() % 2 == 0 ? 0.0 : uniform(random));
      largest[i] = static_cast<T>(std::ldexp(1.0 + uniform(random), static_cast<int>(random() % 20) - 10));
      const int gap_power = static_cast<int>(random() % 5) - 2,
                query_power = static_cast<int>(random() % 9) - 4;
      gap_unit[i] = static_cast<T>(std::ldexp(1.0, gap_power));
      optimal_score[i] = static_cast<T>(10.0 * uniform(random) - 3.0);
      log_unit[i] = static_cast<T>((gap_power + query_power) * std::log(2.0));
      inverse_query[i] = static_cast<T>(std::ldexp(1.0, -query_power) / static_cast<double>(n));
    }
  }
  T run(const Isa& isa) {
    return isa.kernels<T>().row_factors({n, logistic, exponent.data(), mean_gap.data(), pivot_gap.data(),
                                         largest.data(), gap_unit.data(), optimal_score.data(),
                                         log_unit.data(), inverse_query.data(), scale.data(), factor.data(),
                                         size.data()});
  }
};

}  // namespace

TEMPLATE_TEST_CASE("row_factors brings every row to e^(c - C) l' within its bound", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(21);
  const double u = softstep::test::unit_roundoff<T>;
  for_each_isa([&](const Isa& isa) {
    for (const bool logistic : {true, false})
      for (const std::size_t n : {1, 2, 3, 7, 8, 9, 16, 17, 33})
        for (const double spread : {0.0, 1.0, 30.0}) {
          Rows<T> rows(n, logistic, random, spread);
          const T top = rows.run(isa);
          INFO(isa.name << " n = " << n << " spread " << spread << " logistic " << logistic);
          T largest_size = -std::numeric_limits<T>::infinity();
          for (std::size_t i = 0; i < n; ++i) largest_size = std::max(largest_size, rows.size[i]);
          REQUIRE(top == largest_size);
          for (std::size_t i = 0; i < n; ++i) {
            const Number c = rows.exponent[i];
            const auto exact = softstep::reference::row_factors<Number>(
                logistic, rows.optimal_score[i], rows.pivot_gap[i],
                std::exp(c) * Number(rows.mean_gap[i]) * Number(rows.gap_unit[i]));
            // What the row is multiplied by is l'(m) e^(c + log gap_unit - C) / n, whatever the units.
            const Number log_gap_unit = std::log(Number(rows.gap_unit[i]));
            const Number expected = -std::exp(exact.log_slope + c + log_gap_unit - Number(top)) / Number(n);
            const Number got = Number(rows.scale[i]) * Number(rows.factor[i]);
            // 12 u, and the exponents: each of c, q, the units and C is rounded, and so are the sums up to size - C.
            const double exponents = std::fabs(static_cast<double>(exact.margin)) + 3 * spread +
                                     2 * std::fabs(static_cast<double>(top)) + 12 * std::log(2.0) + 20.0;
            REQUIRE(static_cast<double>(std::fabs(got / expected - 1)) <=
                    1.01 * u * (12.0 + 4.0 * exponents));
            // The scaled row is in [1, 2).
            const double unit = static_cast<double>(rows.largest[i]) * static_cast<double>(rows.scale[i]);
            REQUIRE(unit >= 1.0);
            REQUIRE(unit < 2.0);
          }
        }
  });
}

TEMPLATE_TEST_CASE("row_factors of zero rows, zero queries and what is not finite", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(22);
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    Rows<T> rows(19, true, random, 5.0);
    rows.largest[3] = T(0);
    rows.exponent[3] = -infinity;
    rows.mean_gap[3] = T(0);
    rows.log_unit[18] = -infinity;  // a zero query
    const T top = rows.run(isa);
    REQUIRE(std::isfinite(top));
    for (const std::size_t i : {3, 18}) {
      REQUIRE(rows.factor[i] == T(0));
      REQUIRE(std::isfinite(rows.scale[i]));
    }
    for (const T bad : {nan, infinity}) {
      Rows<T> other(19, true, random, 5.0);
      other.largest[7] = bad;
      REQUIRE(std::isnan(other.run(isa)));
    }
    Rows<T> no_score(19, false, random, 5.0);
    no_score.exponent[0] = nan;
    REQUIRE(std::isnan(no_score.run(isa)));
    Rows<T> nothing(5, true, random, 5.0);
    for (std::size_t i = 0; i < 5; ++i) nothing.largest[i] = T(0), nothing.exponent[i] = -infinity;
    REQUIRE(nothing.run(isa) == -infinity);
    // The extremes of the number range have normal reciprocals.
    Rows<T> wide(2, true, random, 0.0);
    wide.largest[0] = std::numeric_limits<T>::min();
    wide.largest[1] = std::numeric_limits<T>::max();
    REQUIRE(std::isfinite(wide.run(isa)));
    REQUIRE(std::isnormal(wide.scale[0]));
    REQUIRE(std::isnormal(wide.scale[1]));
  });
}
