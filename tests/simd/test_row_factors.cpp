// What gradient rows are multiplied by, against the scalar reference in long double. Sizes and factors err by
// the roundings stated in simd/kernels/row_factors.h.

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
  Guarded<T> exponent, mean_gap, pivot_gap, largest, gap_unit, optimal_score, unit_power, inverse_query,
      scale, factor, sizes;

  Rows(std::size_t count, bool is_logistic, std::mt19937_64& random, double spread, int powers = 4)
      : n(count),
        logistic(is_logistic),
        exponent(n),
        mean_gap(n),
        pivot_gap(n),
        largest(n),
        gap_unit(n),
        optimal_score(n),
        unit_power(n),
        inverse_query(n),
        scale(n),
        factor(n),
        sizes(n) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (std::size_t i = 0; i < n; ++i) {
      exponent[i] = static_cast<T>(-spread * uniform(random));
      mean_gap[i] = static_cast<T>(1.0 - 2.0 * uniform(random));
      pivot_gap[i] = static_cast<T>(random() % 2 == 0 ? 0.0 : uniform(random));
      largest[i] = static_cast<T>(std::ldexp(1.0 + uniform(random), static_cast<int>(random() % 20) - 10));
      const int gap_power = static_cast<int>(random() % 5) - 2,
                query_power = static_cast<int>(random() % (2u * static_cast<unsigned>(powers) + 1)) - powers;
      gap_unit[i] = static_cast<T>(std::ldexp(1.0, gap_power));
      optimal_score[i] = static_cast<T>(10.0 * uniform(random) - 3.0);
      unit_power[i] = static_cast<T>(gap_power + query_power);
      inverse_query[i] = static_cast<T>(std::ldexp(1.0, -query_power) / static_cast<double>(n));
    }
  }
  T run(const Isa& isa) {
    return isa.kernels<T>().row_factors({n, logistic, exponent.data(), mean_gap.data(), pivot_gap.data(),
                                         largest.data(), gap_unit.data(), optimal_score.data(),
                                         unit_power.data(), inverse_query.data(), scale.data(), factor.data(),
                                         sizes.data()});
  }
  /// log of the size of row i, as the kernel has it.
  Number size(std::size_t i) const { return Number(sizes.data()[i]); }
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
          // Units of the queries far apart too, but no factor underflows.
          Rows<T> rows(n, logistic, random, spread, spread == 1.0 ? (sizeof(T) == 4 ? 25 : 300) : 4);
          const T top = rows.run(isa);
          INFO(isa.name << " n = " << n << " spread " << spread << " logistic " << logistic);
          std::size_t k = 0;
          for (std::size_t i = 0; i < n; ++i)
            if (rows.size(i) > rows.size(k)) k = i;
          const auto exact_of = [&](std::size_t i) {
            return softstep::reference::row_factors<Number>(
                logistic, rows.optimal_score[i], rows.pivot_gap[i],
                std::exp(Number(rows.exponent[i])) * Number(rows.mean_gap[i]) * Number(rows.gap_unit[i]));
          };
          // log of what the row is multiplied by, l'(m) e^c gap_unit, and the roundings of m, q and c + q.
          const auto log_of = [&](std::size_t i) {
            return exact_of(i).log_slope + Number(rows.exponent[i]) + std::log(Number(rows.gap_unit[i]));
          };
          const auto roundings = [&](std::size_t i) {
            const Number power = Number(rows.unit_power[i]) + std::ilogb(rows.largest[i]);
            return 5 * (std::fabs(exact_of(i).margin) + std::fabs(Number(rows.exponent[i]))) +
                   Number(0.7) * std::fabs(power);
          };
          REQUIRE(Number(top) == rows.size(k));
          // C is c + q + p log 2 of row k, q = log of -l'(m) without its factor s.
          const Number m = exact_of(k).margin, q = logistic ? -std::max(m, Number(0)) : -m;
          const Number power = Number(rows.unit_power[k]) + std::ilogb(rows.largest[k]);
          const Number of_top = Number(rows.exponent[k]) + q + power * std::log(Number(2));
          const Number terms_of_m = std::fabs(Number(rows.optimal_score[k])) + Number(rows.pivot_gap[k]) +
                                    std::fabs(Number(rows.mean_gap[k])) * Number(rows.gap_unit[k]);
          REQUIRE(
              static_cast<double>(std::fabs(Number(top) - of_top)) <=
              4.0 * u *
                  static_cast<double>(terms_of_m + std::fabs(Number(rows.exponent[k])) + std::fabs(of_top)));
          for (std::size_t i = 0; i < n; ++i) {
            // Relative to the largest row, whatever the units; both slopes err by 12 u.
            const Number y = log_of(i) - log_of(k), of_sizes = rows.size(i) - rows.size(k);
            const Number got = Number(rows.scale[i]) * Number(rows.factor[i]) /
                               (Number(rows.scale[k]) * Number(rows.factor[k]));
            REQUIRE(static_cast<double>(std::fabs(got / std::exp(y) - 1)) <=
                    1.01 * u *
                        static_cast<double>(24 + roundings(i) + roundings(k) + 5 * std::fabs(of_sizes)));
            // The largest one's factor is the slope alone.
            const Number slope =
                std::exp(exact_of(k).log_slope +
                         (logistic ? std::max(exact_of(k).margin, Number(0)) : exact_of(k).margin));
            REQUIRE(static_cast<double>(
                        std::fabs(Number(rows.factor[k]) / Number(rows.inverse_query[k]) / -slope - 1)) <=
                    u * static_cast<double>(24 + roundings(k)));
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
    rows.unit_power[18] = -infinity;  // a zero query
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
