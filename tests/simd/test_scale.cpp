// scale_row and scale_lanes on every instruction set: the bits of two roundings in their order, edges of
// memory, special values.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/reference/kernels.h"
#include "simd/dispatch.h"
#include "support/guarded.h"
#include "support/isas.h"

namespace {

namespace reference = softstep::reference;
using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::Guarded;

template <class T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b));
}

// Numbers of all sizes, and in each ninth place one that is special.
template <class T>
Guarded<T> numbers(std::size_t n, std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  const T special[] = {
      T(0),          -T(0),        Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(),
      Limits::max(), Limits::min()};
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  Guarded<T> out(n);
  for (std::size_t k = 0; k < n; ++k)
    out[k] = k % 9 == 8
                 ? special[k / 9 % 7]
                 : static_cast<T>(uniform(random) * std::exp2(0.9 * Limits::max_exponent * uniform(random)));
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("scale_row multiplies by one factor after the other and touches its n elements only",
                   "[simd]", float, double) {
  using T = TestType;
  // The product of the two factors alone would leave the range of numbers or lose all digits.
  const T large = std::ldexp(T(1), std::numeric_limits<T>::max_exponent - 2);
  std::mt19937_64 random(1);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 0; n <= 130; ++n)
      for (const auto& [a, b] : {std::pair<T, T>{T(3), T(-0.1)}, {large, large}, {1 / large, 1 / large}}) {
        const Guarded<T> before = numbers<T>(n + 1, random);
        Guarded<T> x = Guarded<T>::copy_of(std::vector<T>(before.data(), before.data() + n + 1));
        isa.kernels<T>().scale_row(n, a, b, x.data() + 1);
        REQUIRE(same(x[0], before[0]));
        for (std::size_t k = 1; k <= n; ++k)
          if (!same(x[k], reference::scale_row<T>(a, b, before[k]))) FAIL("element " << k - 1 << " of " << n);
      }
  });
}

TEMPLATE_TEST_CASE("scale_lanes multiplies the lanes it is given, each by its own factors", "[simd]", float,
                   double) {
  using T = TestType;
  constexpr std::size_t multiple = softstep::simd::lane_multiple<T>, n_rows = 7;
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform(-2.0, 2.0);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t lines = 1; lines <= 5; ++lines)
      for (std::size_t first = 0; first <= lines; ++first)
        for (std::size_t last = first; last <= lines; ++last) {
          const std::size_t n = lines * multiple, begin = first * multiple, end = last * multiple;
          Guarded<double> a(end), b(end);
          for (std::size_t i = 0; i < end; ++i) {
            a[i] = std::exp2(20.0 * uniform(random));
            b[i] = uniform(random);
          }
          const Guarded<T> before = numbers<T>(n_rows * n, random);
          Guarded<T> x = Guarded<T>::copy_of(std::vector<T>(before.data(), before.data() + n_rows * n));
          isa.kernels<T>().scale_lanes({n_rows, n, begin, end, a.data(), b.data(), x.data()});
          for (std::size_t j = 0; j < n_rows; ++j)
            for (std::size_t i = 0; i < n; ++i) {
              const T was = before[j * n + i];
              const bool meant = i >= begin && i < end;
              const T wanted = meant ? reference::scale_lanes<T>(a[i], b[i], was) : was;
              if (!same(x[j * n + i], wanted)) FAIL("row " << j << ", lane " << i << " of " << n);
            }
        }
  });
}
