// soft_cap on every instruction set against long double: error bounds of value and derivative, symmetry,
// edges of memory, special values.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "block_case.h"
#include "core/reference/softmax_blocks.h"
#include "support/isas.h"
#include "support/unit_roundoff.h"

namespace {

namespace reference = softstep::reference;
using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::Guarded;
using softstep::test::unit_roundoff;
using softstep::test::untouched;

template <class T>
using Limits = std::numeric_limits<T>;

template <class T>
struct Capped {
  std::vector<T> values, derivatives;
};
template <class T>
Capped<T> soft_cap(const Isa& isa, T cap, const std::vector<T>& x) {
  Capped<T> out{x, std::vector<T>(x.size(), untouched<T>)};
  isa.kernels<T>().soft_cap({1, x.size(), cap, out.values.data(), x.size(), out.derivatives.data()});
  return out;
}

// Of all sizes, and around 0.625, where the formula changes.
template <class T>
std::vector<T> arguments(T cap, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(-3.0, 3.0), logarithm(-80.0, 8.0);
  std::vector<T> x;
  for (int k = 0; k < 60000; ++k) x.push_back(static_cast<T>(uniform(random)) * cap);
  for (int k = 0; k < 30000; ++k)
    x.push_back(static_cast<T>(std::exp2(logarithm(random))) * (random() % 2 == 0 ? cap : -cap));
  T edge = T(0.625) * cap;
  for (int k = 0; k < 100; ++k) edge = std::nextafter(edge, T(0));
  for (int k = 0; k < 200; ++k) x.push_back(edge = std::nextafter(edge, cap));
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("soft_cap keeps the relative error bounds of value and derivative", "[simd]", float,
                   double) {
  using T = TestType;
  const double u = unit_roundoff<T>, tiny = static_cast<double>(Limits<T>::min());
  std::mt19937_64 random(51);
  for_each_isa([&](const Isa& isa) {
    for (const double size : {1.0, 0.3, 30.0, 50.0, 1234.5, 1e-9}) {
      const T cap = static_cast<T>(size);
      const std::vector<T> x = arguments(cap, random);
      const Capped<T> out = soft_cap(isa, cap, x);
      INFO(isa.name << ", cap " << cap);
      for (std::size_t k = 0; k < x.size(); ++k) {
        const auto exact = reference::soft_cap<long double>(cap, x[k]);
        const double y = std::fabs(static_cast<double>(x[k]) / static_cast<double>(cap));
        const double value_error = static_cast<double>(std::fabs(out.values[k] - exact.value)),
                     value_bound = 1.01 * 9 * u * static_cast<double>(std::fabs(exact.value));
        if (!(value_error <= value_bound)) FAIL("x = " << x[k] << ": value " << out.values[k]);
        // Below the smallest normal number exp may give 0.
        const double slope_error = static_cast<double>(std::fabs(out.derivatives[k] - exact.derivative)),
                     slope_bound = 1.01 * (9 + 4 * y) * u * static_cast<double>(exact.derivative) + 4 * tiny;
        if (!(slope_error <= slope_bound)) FAIL("x = " << x[k] << ": derivative " << out.derivatives[k]);
      }
    }
  });
}

TEMPLATE_TEST_CASE("soft_cap touches its columns only, and its bits depend on neither place nor sign",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(52);
  std::uniform_real_distribution<double> uniform(-100.0, 100.0);
  for_each_isa([&](const Isa& isa) {
    for (const std::size_t rows : {0, 1, 3})
      for (std::size_t columns = 0; columns <= 35; ++columns) {
        const std::size_t ld = columns + columns % 3;
        const T cap = T(20);
        Guarded<T> x(rows == 0 || columns == 0 ? 0 : (rows - 1) * ld + columns), derivative(x.size());
        softstep::test::fill(derivative, untouched<T>);
        for (std::size_t k = 0; k < x.size(); ++k)
          x[k] = k % ld < columns ? static_cast<T>(uniform(random)) : untouched<T>;
        const std::vector<T> before(x.data(), x.data() + x.size());
        isa.kernels<T>().soft_cap({rows, columns, cap, x.data(), ld, derivative.data()});
        Guarded<T> alone = Guarded<T>::copy_of(before);
        isa.kernels<T>().soft_cap({rows, columns, cap, alone.data(), ld, nullptr});
        INFO(isa.name << ' ' << rows << " x " << columns);
        REQUIRE((x.size() == 0 || std::memcmp(x.data(), alone.data(), x.size() * sizeof(T)) == 0));
        for (std::size_t k = 0; k < x.size(); ++k) {
          if (k % ld >= columns) {
            if (x[k] != untouched<T> || derivative[k] != untouched<T>) FAIL("wrote between the rows");
            continue;
          }
          const Capped<T> one = soft_cap<T>(isa, cap, {before[k]}),
                          other = soft_cap<T>(isa, cap, {-before[k]});
          if (x[k] != one.values[0] || x[k] != -other.values[0]) FAIL("value " << k);
          if (derivative[k] != one.derivatives[0] || derivative[k] != other.derivatives[0])
            FAIL("derivative " << k);
        }
      }
  });
}

TEMPLATE_TEST_CASE("soft_cap of zero, infinity, NaN and what is far above the cap", "[simd]", float, double) {
  using T = TestType;
  constexpr T infinity = Limits<T>::infinity(), nan = Limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    for (const T cap : {T(1), T(30)})
      for (std::size_t n = 1; n <= 17; ++n)
        for (std::size_t lane = 0; lane < n; ++lane) {
          const auto at = [&](T special) {
            std::vector<T> x(n, T(0.25));
            x[lane] = special;
            const Capped<T> out = soft_cap(isa, cap, x),
                            usual = soft_cap(isa, cap, std::vector<T>(n, T(0.25)));
            for (std::size_t k = 0; k < n; ++k)
              if (k != lane &&
                  (out.values[k] != usual.values[k] || out.derivatives[k] != usual.derivatives[k]))
                FAIL("lane " << lane << " of " << n << " changed lane " << k);
            return Capped<T>{{out.values[lane]}, {out.derivatives[lane]}};
          };
          INFO(isa.name << ", cap " << cap << ", lane " << lane << " of " << n);
          const auto is = [&](T x, T value, T derivative) {
            const Capped<T> out = at(x);
            return out.values[0] == value && out.derivatives[0] == derivative;
          };
          if (!is(T(0), T(0), T(1)) || !is(-T(0), T(0), T(1))) FAIL("zero");
          if (!is(infinity, cap, T(0)) || !is(-infinity, -cap, T(0))) FAIL("infinity");
          if (!is(T(1e30), cap, T(0)) || !is(T(-1e30), -cap, T(0))) FAIL("far above the cap");
          const Capped<T> bad = at(nan);
          if (!std::isnan(bad.values[0]) || !std::isnan(bad.derivatives[0])) FAIL("NaN is " << bad.values[0]);
        }
  });
}
