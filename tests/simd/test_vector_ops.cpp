// dot, axpy and axpy_compensated on every instruction set: error bounds, edges of memory, special values.

#include <algorithm>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
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

template <class T>
constexpr double u = softstep::test::unit_roundoff<T>;

template <class T>
Guarded<T> random_numbers(std::size_t n, std::mt19937_64& random, double spread_of_exponents = 0.0) {
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  Guarded<T> out(n);
  for (std::size_t k = 0; k < n; ++k)
    out[k] = static_cast<T>(uniform(random) * std::exp2(spread_of_exponents * uniform(random)));
  return out;
}

// The bound that simd/kernels/dot.h derives; 1.01 for what is beyond first order.
template <class T>
double dot_bound(const Isa& isa, std::size_t n, double sum_of_sizes) {
  const auto lanes = static_cast<double>(isa.kernels<T>().vector_width), count = static_cast<double>(n);
  const double h = std::ceil(std::min(count, 1024.0) / (4.0 * lanes));
  const double additions = std::max(0.0, std::ceil(count / 1024.0) - 1.0);
  return 1.01 * ((h + 4.0 + std::log2(lanes)) * u<T> + additions * u<double>)*sum_of_sizes;
}

}  // namespace

TEMPLATE_TEST_CASE("dot keeps its bound at every length around the lane counts and the blocks", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(1);
  std::vector<std::size_t> sizes;
  for (std::size_t n = 0; n <= 130; ++n) sizes.push_back(n);
  for (const std::size_t n : {1000, 1023, 1024, 1025, 1087, 2048, 2049, 4095, 10007, 100003})
    sizes.push_back(n);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t n : sizes)
      for (const double spread : {0.0, 20.0}) {
        const Guarded<T> x = random_numbers<T>(n, random, spread), y = random_numbers<T>(n, random, spread);
        const auto exact = softstep::reference::dot<long double>(n, x.data(), y.data());
        double size = 0.0, square = 0.0;
        for (std::size_t k = 0; k < n; ++k) {
          size += std::fabs(static_cast<double>(x[k]) * static_cast<double>(y[k]));
          square += static_cast<double>(x[k]) * static_cast<double>(x[k]);
        }
        INFO(isa.name << " n = " << n);
        const double error =
            static_cast<double>(std::fabs(isa.kernels<T>().dot(n, x.data(), y.data()) - exact));
        if (!(error <= dot_bound<T>(isa, n, size))) CHECK(error <= dot_bound<T>(isa, n, size));
        // x and y may be the same array: the squared norm.
        const double squared = isa.kernels<T>().dot(n, x.data(), x.data());
        if (!(std::fabs(squared - square) <=
              dot_bound<T>(isa, n, square) + static_cast<double>(n) * u<double> * square))
          CHECK(squared == square);
      }
  });
}

TEMPLATE_TEST_CASE("dot is exact on small integers and passes NaN and infinity on from every place", "[simd]",
                   float, double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 1; n <= 150; ++n) {
      std::vector<T> x(n), y(n, T(2));
      for (std::size_t k = 0; k < n; ++k) x[k] = static_cast<T>(k + 1);
      REQUIRE(isa.kernels<T>().dot(n, x.data(), y.data()) == static_cast<double>(n * (n + 1)));
      for (std::size_t k = 0; k < n; ++k) {
        std::vector<T> special = x;
        special[k] = nan;
        if (!std::isnan(isa.kernels<T>().dot(n, special.data(), y.data())))
          FAIL("NaN lost at " << k << " of " << n);
        if (!std::isnan(isa.kernels<T>().dot(n, y.data(), special.data())))
          FAIL("NaN lost at " << k << " of " << n);
        special[k] = -infinity;
        if (!(isa.kernels<T>().dot(n, special.data(), y.data()) == -infinity)) FAIL("-inf lost at " << k);
      }
    }
    CHECK(isa.kernels<T>().dot(0, nullptr, nullptr) == 0.0);
    // An odd sum above 2^24: float32 has it in no block, and loses it where blocks are added up in float32.
    std::vector<T> many(2048001, T(3));
    many.back() = T(1);
    CHECK(isa.kernels<T>().dot(many.size(), many.data(), many.data()) == 18432001.0);
  });
}

TEMPLATE_TEST_CASE("axpy rounds at most twice and touches its n elements only", "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(2);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 0; n <= 130; ++n)
      for (const double a : {1.0 / 3.0, -7e-3, 0.0, 1e5}) {
        const T factor = static_cast<T>(a);
        const Guarded<T> x = random_numbers<T>(n, random);
        const Guarded<T> before = random_numbers<T>(n + 1, random);
        Guarded<T> y = Guarded<T>::copy_of(std::vector<T>(before.data(), before.data() + n + 1));
        isa.kernels<T>().axpy(n, factor, x.data(), y.data() + 1);
        REQUIRE(y[0] == before[0]);
        for (std::size_t k = 0; k < n; ++k) {
          const auto exact = softstep::reference::axpy<long double>(factor, x[k], before[k + 1]);
          const double product = std::fabs(static_cast<double>(factor) * static_cast<double>(x[k]));
          // One rounding of the sum, and one of the product without fused multiply-add.
          const double bound = 1.01 * u<T> * (static_cast<double>(std::fabs(exact)) + product);
          const double error = static_cast<double>(std::fabs(y[k + 1] - exact));
          if (!(error <= bound)) REQUIRE(error <= bound);
        }
      }
  });
}

TEMPLATE_TEST_CASE("axpy gives an element the same bits wherever the arrays are cut", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(3);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    const std::size_t n = 101;
    const Guarded<T> x = random_numbers<T>(n, random), y = random_numbers<T>(n, random);
    std::vector<T> whole(y.data(), y.data() + n);
    isa.kernels<T>().axpy(n, T(0.3), x.data(), whole.data());
    for (std::size_t cut = 0; cut <= n; ++cut) {
      std::vector<T> parts(y.data(), y.data() + n);
      isa.kernels<T>().axpy(cut, T(0.3), x.data(), parts.data());
      isa.kernels<T>().axpy(n - cut, T(0.3), x.data() + cut, parts.data() + cut);
      REQUIRE(std::memcmp(whole.data(), parts.data(), n * sizeof(T)) == 0);
    }
  });
}

TEMPLATE_TEST_CASE("axpy passes NaN and infinity on, each in its own element", "[simd]", float, double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 1; n <= 40; ++n)
      for (std::size_t k = 0; k < n; ++k)
        for (const T special : {nan, infinity}) {
          std::vector<T> x(n, T(1)), y(n, T(1));
          x[k] = special;
          isa.kernels<T>().axpy(n, T(2), x.data(), y.data());
          for (std::size_t i = 0; i < n; ++i)
            if (i == k ? std::isfinite(y[i]) : !(y[i] == T(3))) FAIL("element " << i << " of " << n);
        }
    std::vector<T> x(9, infinity), y(9, T(1));
    isa.kernels<T>().axpy(9, T(0), x.data(), y.data());
    for (const T value : y) CHECK(std::isnan(value));
  });
}

TEMPLATE_TEST_CASE("axpy_compensated keeps what the sum rounds off and touches its n elements only", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(4);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 0; n <= 130; ++n)
      for (const double a : {1.0 / 3.0, -7e-3, 0.0, 1e5, 1e-9}) {
        const T factor = static_cast<T>(a);
        const Guarded<T> x = random_numbers<T>(n, random), before = random_numbers<T>(n + 1, random);
        const Guarded<T> noise = random_numbers<T>(n + 1, random);
        Guarded<T> y = Guarded<T>::copy_of(std::vector<T>(before.data(), before.data() + n + 1));
        Guarded<T> low(n + 1);
        // Of either size beside y, and the most that a sum can leave.
        for (std::size_t k = 0; k <= n; ++k) low[k] = noise[k] * before[k] * static_cast<T>(u<T>);
        const std::vector<T> low_before(low.data(), low.data() + n + 1);
        isa.kernels<T>().axpy_compensated(n, factor, x.data(), y.data() + 1, low.data() + 1);
        REQUIRE(y[0] == before[0]);
        REQUIRE(low[0] == low_before[0]);
        for (std::size_t k = 0; k < n; ++k) {
          const T y_before = before[k + 1], rest = low_before[k + 1];
          const auto exact = softstep::reference::axpy_compensated<long double>(factor, x[k], y_before, rest);
          const long double product = static_cast<long double>(factor) * static_cast<long double>(x[k]);
          // The sum of both is off by the rounding of a x + low alone, and of a x without fused multiply-add.
          // `exact` itself has 64 digits.
          const double bound =
              1.01 * u<T> * static_cast<double>(std::fabs(product + rest) + std::fabs(product)) +
              0x1p-62 * static_cast<double>(std::fabs(exact));
          const double error = static_cast<double>(
              std::fabs(static_cast<long double>(y[k + 1]) + static_cast<long double>(low[k + 1]) - exact));
          if (!(error <= bound)) REQUIRE(error <= bound);
          // y is the rounded sum of both.
          if (!(y[k + 1] + low[k + 1] == y[k + 1])) REQUIRE(y[k + 1] + low[k + 1] == y[k + 1]);
        }
      }
  });
}

TEMPLATE_TEST_CASE("axpy_compensated gives an element the same bits wherever the arrays are cut", "[simd]",
                   float, double) {
  using T = TestType;
  std::mt19937_64 random(5);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    const std::size_t n = 101;
    const Guarded<T> x = random_numbers<T>(n, random), y = random_numbers<T>(n, random);
    std::vector<T> whole(y.data(), y.data() + n), low(n, T(0));
    const auto& kernels = isa.kernels<T>();
    kernels.axpy_compensated(n, T(0.3), x.data(), whole.data(), low.data());
    for (std::size_t cut = 0; cut <= n; ++cut) {
      std::vector<T> parts(y.data(), y.data() + n), rest(n, T(0));
      kernels.axpy_compensated(cut, T(0.3), x.data(), parts.data(), rest.data());
      kernels.axpy_compensated(n - cut, T(0.3), x.data() + cut, parts.data() + cut, rest.data() + cut);
      REQUIRE(std::memcmp(whole.data(), parts.data(), n * sizeof(T)) == 0);
      REQUIRE(std::memcmp(low.data(), rest.data(), n * sizeof(T)) == 0);
    }
  });
}

TEMPLATE_TEST_CASE("a million small steps add up in axpy_compensated", "[simd]", float, double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    constexpr std::size_t n = 9, n_steps = 1000000;
    // A step is a tenth of a unit in the last place: a plain sum would not move at all.
    const T step = static_cast<T>(0.2 * u<T>);
    std::vector<T> x(n, T(1)), y(n, T(1)), low(n, T(0));
    for (std::size_t k = 0; k < n_steps; ++k)
      isa.kernels<T>().axpy_compensated(n, step, x.data(), y.data(), low.data());
    const long double expected = 1.0L + static_cast<long double>(step) * n_steps;
    // low is at most u, and rounded by u^2 in each step.
    for (std::size_t k = 0; k < n; ++k)
      REQUIRE(static_cast<double>(std::fabs(static_cast<long double>(y[k]) + low[k] - expected)) <=
              n_steps * 2.0 * u<T> * u<T> + 0x1p-60);
  });
}

TEMPLATE_TEST_CASE("axpy_compensated passes NaN and infinity on, each in its own element", "[simd]", float,
                   double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 1; n <= 40; ++n)
      for (std::size_t k = 0; k < n; ++k)
        for (const T special : {nan, infinity}) {
          std::vector<T> x(n, T(1)), y(n, T(1)), low(n, T(0));
          x[k] = special;
          isa.kernels<T>().axpy_compensated(n, T(2), x.data(), y.data(), low.data());
          for (std::size_t i = 0; i < n; ++i)
            if (i == k ? std::isfinite(y[i]) : !(y[i] == T(3) && low[i] == T(0)))
              FAIL("element " << i << " of " << n);
        }
  });
}
