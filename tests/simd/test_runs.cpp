// The kernels for runs side by side, each run against the scalar reference in long double, and by itself:
// what stands in the other lanes does not touch its bits.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "core/reference/kernels.h"
#include "runs_case.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::RunsCase;
using Number = long double;

constexpr std::size_t samples[] = {1, 2, 3, 6, 7, 20};

double abs_of(Number x) { return static_cast<double>(std::fabs(x)); }

template <class Array>
std::vector<double> of_run(const Array& values, std::size_t width, std::size_t run) {
  std::vector<double> out;
  for (std::size_t k = run; k < values.size(); k += width)
    out.push_back(static_cast<double>(values.data()[k]));
  return out;
}
template <class Array>
std::vector<double> of_run(const Array& rows, std::size_t columns, std::size_t used, std::size_t width,
                           std::size_t run) {
  std::vector<double> out;
  for (std::size_t j = 0; j * columns < rows.size(); ++j)
    for (std::size_t k = run; k < used; k += width)
      out.push_back(static_cast<double>(rows.data()[j * columns + k]));
  return out;
}
bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("run_gram keeps its bounds, in every run", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(41);
  const double u = softstep::test::unit_roundoff<T>;
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : samples)
      for (const std::size_t dim : {1, 3, 4, 5, 9, 10, 13}) {
        RunsCase<T> in(isa, n, dim, true, random);
        isa.kernels<T>().run_gram(in.gram_args());
        INFO(isa.name << " n = " << n << " d = " << dim);
        for (std::size_t r = 0; r < in.width; ++r) {
          Number squared = 0;
          double size = 0.0;
          for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < dim; ++j) {
              const Number exact = softstep::reference::run_gram<Number>(i, j, r, in.width, n, in.columns,
                                                                         in.gram.data(), in.rows.data());
              double terms = 0.0;
              for (std::size_t k = 0; k < n; ++k)
                terms += abs_of(Number(in.gram[(i * n + k) * in.width + r]) *
                                Number(in.rows[j * in.columns + k * in.width + r]));
              const std::size_t at = j * in.columns + i * in.width + r;
              REQUIRE(abs_of(Number(in.image[at]) - exact) <= 1.01 * u * static_cast<double>(n + 1) * terms);
              squared += Number(in.rows[at]) * Number(in.image[at]);
              size += abs_of(Number(in.rows[at]) * Number(in.image[at]));
            }
          REQUIRE(abs_of(Number(in.squared[r]) - squared) <=
                  1.01 * (u * static_cast<double>(n + 5) + 0x1p-53 * static_cast<double>(dim)) * size);
        }
      }
  });
}

TEMPLATE_TEST_CASE("run_move takes a step of its own in every run", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(42);
  const double u = softstep::test::unit_roundoff<T>;
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : samples) {
      RunsCase<T> in(isa, n, 5, true, random);
      const std::vector<T> sum(in.sum.data(), in.sum.data() + in.sum.size()),
          projected(in.projected.data(), in.projected.data() + in.projected.size());
      isa.kernels<T>().run_move(in.move_args());
      INFO(isa.name << " n = " << n);
      for (std::size_t k = 0; k < sum.size(); ++k) {
        const T a = in.step[k % in.width];
        const auto check = [&](T x, T before, T after) {
          const Number exact = softstep::reference::run_move<Number>(a, x, before);
          REQUIRE(abs_of(Number(after) - exact) <=
                  1.01 * u * (abs_of(Number(after)) + abs_of(Number(a) * Number(x))));
        };
        check(in.rows[k], sum[k], in.sum[k]);
        check(in.image[k], projected[k], in.projected[k]);
      }
    }
  });
}

// As for row_factors (test_row_factors.cpp): relative to the run's largest row.
TEMPLATE_TEST_CASE("run_factors brings the rows of every run to their own exponent", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(43);
  constexpr double u = 0x1p-53;
  for_each_isa([&](const Isa& isa) {
    for (const bool logistic : {true, false})
      for (const std::size_t n : samples)
        for (const double spread : {0.0, 1.0, 30.0}) {
          RunsCase<T> in(isa, n, 1, logistic, random, spread);
          isa.kernels<T>().run_factors(in.factors_args());
          INFO(isa.name << " n = " << n << " spread " << spread << " logistic " << logistic);
          for (std::size_t r = 0; r < in.width; ++r) {
            const auto at = [&](std::size_t i) { return i * in.width + r; };
            std::size_t k = 0;
            for (std::size_t i = 0; i < n; ++i)
              if (in.size[at(i)] > in.size[at(k)]) k = i;
            REQUIRE(in.top[r] == in.size[at(k)]);
            const auto exact_of = [&](std::size_t i) {
              return softstep::reference::run_factors<Number>(
                  logistic, in.optimal_score[at(i)], in.pivot_gap[at(i)],
                  Number(in.shifted_gap[at(i)]) * Number(in.gap_unit[at(i)]));
            };
            const auto log_of = [&](std::size_t i) {
              return exact_of(i).log_slope + Number(in.exponent[at(i)]) +
                     std::log(Number(in.gap_unit[at(i)]));
            };
            const auto roundings = [&](std::size_t i) {
              const Number power = Number(in.unit_power[at(i)]) + std::ilogb(in.largest[at(i)]);
              return 5 * (std::fabs(exact_of(i).margin) + std::fabs(Number(in.exponent[at(i)]))) +
                     Number(0.7) * std::fabs(power);
            };
            double sum_of_sizes = 0.0;
            for (std::size_t i = 0; i < n; ++i) {
              const Number y = log_of(i) - log_of(k), of_sizes = Number(in.size[at(i)]) - in.size[at(k)];
              const Number got = Number(in.row_scale[at(i)]) * Number(in.row_factor[at(i)]) /
                                 (Number(in.row_scale[at(k)]) * Number(in.row_factor[at(k)]));
              REQUIRE(abs_of(got / std::exp(y) - 1) <=
                      1.01 * u *
                          static_cast<double>(24 + roundings(i) + roundings(k) + 5 * std::fabs(of_sizes)));
              const double unit = static_cast<double>(in.largest[at(i)]) * in.row_scale[at(i)];
              REQUIRE(unit >= 1.0);
              REQUIRE(unit < 2.0);
              sum_of_sizes += std::fabs(in.row_factor[at(i)]) * in.query_norm[at(i)];
            }
            // The largest one's factor is the slope alone.
            const Number slope =
                std::exp(exact_of(k).log_slope +
                         (logistic ? std::max(exact_of(k).margin, Number(0)) : exact_of(k).margin));
            REQUIRE(abs_of(Number(in.row_factor[at(k)]) / Number(in.inverse_query[at(k)]) / -slope - 1) <=
                    u * static_cast<double>(24 + roundings(k)));
            REQUIRE(std::fabs(in.sum_of_sizes[r] - sum_of_sizes) <=
                    2.02 * u * static_cast<double>(n) * sum_of_sizes);
          }
        }
  });
}

TEMPLATE_TEST_CASE("run_gaps keeps its bound near and far from the optimum, in every run", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(46);
  constexpr double u = 0x1p-53;
  for_each_isa([&](const Isa& isa) {
    for (const bool logistic : {true, false})
      for (const std::size_t n : samples)
        for (const double spread : {0.0, 1.0, 30.0, 1e3})  // long double holds e^-11000
          for (const double scores : {1.0, 40.0, 700.0})
            for (const int at_optimal : {0, 1, 2}) {
              RunsCase<T> in(isa, n, 1, logistic, random, spread);
              in.set_scores(random, scores, at_optimal);
              isa.kernels<T>().run_gaps(in.gaps_args());
              INFO(isa.name << " n = " << n << " spread " << spread << " scores " << scores << " logistic "
                            << logistic << " optimal " << at_optimal);
              for (std::size_t r = 0; r < in.width; ++r) {
                Number exact = 0, most = 0;
                for (std::size_t i = 0; i < n; ++i) {
                  const std::size_t at = i * in.width + r;
                  // Below 2^-58 it is the pair that counts.
                  const Number product = std::exp(Number(in.exponent[at])) * Number(in.mean_gap[at]),
                               unit = Number(in.gap_unit[at]),
                               of_product = Number(in.pivot_gap[at]) - product * unit,
                               of_rounded = Number(in.pivot_gap[at]) - Number(in.shifted_gap[at]) * unit;
                  const bool is_rounded = std::isnormal(in.shifted_gap[at]) && of_rounded >= Number(0x1p-58);
                  const Number delta = is_rounded ? of_rounded : of_product;
                  exact += softstep::reference::run_gaps<Number>(logistic, in.optimal_score[at], delta) /
                           static_cast<Number>(n);
                  most = std::max(most, std::fabs(Number(in.exponent[at])) +
                                            std::fabs(Number(in.optimal_score[at])) + std::fabs(delta));
                }
                const Number got = Number(in.gap_mantissa[r]) * std::exp(Number(in.gap_top[r]));
                REQUIRE(exact > 0);
                REQUIRE(abs_of(got / exact - 1) <= u * static_cast<double>(60 + 4 * most));
              }
            }
  });
}

// Below e^-30 log1p(x) is x - x^2/2: at first the second term counts 400 u, and the bound is 200 u. Above it
// is the logarithm.
TEMPLATE_TEST_CASE("run_gaps where the logarithm becomes its argument", "[simd]", float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    std::mt19937_64 random(49);
    RunsCase<T> in(isa, 1, 1, true, random);
    for (const double power : {-29.9, -30.0 + 0x1p-40, -30.0, -30.0 - 0x1p-40, -30.1, -30.5}) {
      for (std::size_t r = 0; r < in.width; ++r) {
        const double delta = 3.0 + static_cast<double>(r) / 64, gamma = delta - power;
        in.optimal_score[r] = gamma;
        in.pivot_gap[r] = delta;
        in.mean_gap[r] = in.shifted_gap[r] = T(0);
        in.exponent[r] = T(0);
        in.slope[r] = 1.0 / (1.0 + std::exp(-gamma));
        in.slope_exponent[r] = -gamma;
      }
      isa.kernels<T>().run_gaps(in.gaps_args());
      for (std::size_t r = 0; r < in.width; ++r) {
        INFO(isa.name << " power " << power << " run " << r);
        const double gamma = in.optimal_score[r], delta = in.pivot_gap[r];
        const Number exact = softstep::reference::run_gaps<Number>(true, gamma, Number(delta)),
                     got = Number(in.gap_mantissa[r]) * std::exp(Number(in.gap_top[r]));
        REQUIRE(abs_of(got / exact - 1) <= 0x1p-53 * (60 + 4 * (gamma + delta)));
      }
    }
  });
}

TEMPLATE_TEST_CASE("run_gaps of samples without a gap, and of what is not a number", "[simd]", float,
                   double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    std::mt19937_64 random(47);
    RunsCase<T> in(isa, 4, 1, true, random);
    in.set_scores(random, 3.0, 1);
    const std::size_t last = in.width - 1;
    INFO(isa.name);
    for (std::size_t i = 0; i < 4; ++i) {
      in.mean_gap[i * in.width + last] = in.shifted_gap[i * in.width + last] = T(0);
      in.exponent[i * in.width + last] = -std::numeric_limits<T>::infinity();
    }
    isa.kernels<T>().run_gaps(in.gaps_args());
    REQUIRE(in.gap_mantissa[last] == 0.0);
    in.mean_gap[last] = T(-1);
    in.exponent[last] = T(-2);
    in.set_shifted_gap(last);
    isa.kernels<T>().run_gaps(in.gaps_args());
    REQUIRE(in.gap_mantissa[last] > 0.0);
    in.exponent[last] = std::numeric_limits<T>::quiet_NaN();
    isa.kernels<T>().run_gaps(in.gaps_args());
    REQUIRE(std::isnan(in.gap_mantissa[last]));
    for (std::size_t r = 0; r < last; ++r) REQUIRE(in.gap_mantissa[r] > 0.0);
  });
}

TEMPLATE_TEST_CASE("a run beside others has the bits that it has beside NaN", "[simd]", float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : samples) {
      const auto run = [&](std::size_t lane) {
        std::mt19937_64 random(44);
        auto in = std::make_unique<RunsCase<T>>(isa, n, 7, true, random);
        if (lane < in->width) in->spoil_all_but(lane);
        isa.kernels<T>().run_factors(in->factors_args());
        isa.kernels<T>().run_gaps(in->gaps_args());
        isa.kernels<T>().run_gram(in->gram_args());
        isa.kernels<T>().run_move(in->move_args());
        return in;
      };
      const auto whole = run(std::numeric_limits<std::size_t>::max());
      INFO(isa.name << " n = " << n);
      for (std::size_t r = 0; r < whole->width; ++r) {
        const auto alone = run(r);
        const auto check = [&](const auto& a, const auto& b) {
          REQUIRE(same(of_run(a, whole->width, r), of_run(b, whole->width, r)));
        };
        check(whole->row_scale, alone->row_scale);
        check(whole->row_factor, alone->row_factor);
        check(whole->top, alone->top);
        check(whole->sum_of_sizes, alone->sum_of_sizes);
        check(whole->squared, alone->squared);
        check(whole->gap_mantissa, alone->gap_mantissa);
        check(whole->gap_top, alone->gap_top);
        const auto check_rows = [&](const auto& a, const auto& b) {
          const std::size_t used = n * whole->width;
          REQUIRE(same(of_run(a, whole->columns, used, whole->width, r),
                       of_run(b, whole->columns, used, whole->width, r)));
        };
        check_rows(whole->image, alone->image);
        check_rows(whole->sum, alone->sum);
        check_rows(whole->projected, alone->projected);
      }
    }
  });
}

TEMPLATE_TEST_CASE("run_factors of zero rows and what is not finite, in one run alone", "[simd]", float,
                   double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    std::mt19937_64 random(45);
    RunsCase<T> in(isa, 5, 1, true, random);
    const std::size_t bad = in.width - 1;
    const auto run_with = [&](auto change) {
      std::mt19937_64 again(45);
      auto out = std::make_unique<RunsCase<T>>(isa, 5, 1, true, again);
      for (std::size_t i = 0; i < 5; ++i) change(*out, i, i * out->width + bad);
      isa.kernels<T>().run_factors(out->factors_args());
      for (std::size_t r = 0; r < bad; ++r) REQUIRE(std::isfinite(out->top[r]));
      return out;
    };
    INFO(isa.name);
    // No row at all; one row missing; a row that is not a number.
    const auto nothing = run_with([&](RunsCase<T>& out, std::size_t, std::size_t at) {
      out.largest[at] = T(0);
      out.exponent[at] = -infinity;
    });
    REQUIRE(nothing->top[bad] == -std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < 5; ++i) REQUIRE(nothing->row_factor[i * in.width + bad] == 0.0);
    REQUIRE(nothing->sum_of_sizes[bad] == 0.0);
    const auto some = run_with([&](RunsCase<T>& out, std::size_t i, std::size_t at) {
      if (i != 3) return;
      out.largest[at] = T(0);
      out.exponent[at] = -infinity;
      out.shifted_gap[at] = T(0);
    });
    REQUIRE(std::isfinite(some->top[bad]));
    REQUIRE(some->row_factor[3 * in.width + bad] == 0.0);
    for (const T value : {nan, infinity}) {
      const auto wrong = run_with([&](RunsCase<T>& out, std::size_t i, std::size_t at) {
        if (i == 2) out.largest[at] = value;
      });
      REQUIRE(std::isnan(wrong->top[bad]));
    }
    // A subnormal row counts as the smallest normal number.
    const auto small = run_with([&](RunsCase<T>& out, std::size_t i, std::size_t at) {
      if (i == 0) out.largest[at] = std::numeric_limits<T>::denorm_min();
    });
    REQUIRE(small->row_scale[bad] <= 1.0 / static_cast<double>(std::numeric_limits<T>::min()));
  });
}
