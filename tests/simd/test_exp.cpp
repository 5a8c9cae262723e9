// exp_nonpositive on every instruction set against long double: every number of a dense set, the edges,
// special values.

#include <bit>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "core/reference/kernels.h"
#include "support/guarded.h"
#include "support/isas.h"

namespace {

using softstep::simd::Isa;
using softstep::test::for_each_isa;
using softstep::test::Guarded;

template <class T>
using Limits = std::numeric_limits<T>;

template <class T>
std::vector<T> exp_of(const Isa& isa, const std::vector<T>& x) {
  std::vector<T> y(x.size(), T(77));
  isa.kernels<T>().exp_nonpositive(x.data(), y.data(), x.size());
  return y;
}

// log of the smallest normal number, by the reference: from here down the result may be anything that the
// contract of subnormal results allows, from here up it has 1.5 ULP.
template <class T>
bool is_normal_result(long double exact) {
  return exact >= static_cast<long double>(Limits<T>::min());
}

struct ExpErrors {
  double ulp = 0.0;       // worst where the exact result is normal
  double absolute = 0.0;  // worst elsewhere, in units of the smallest normal number
  bool nan = false;

  template <class T>
  void add(T x, T y) {
    // Double is exact enough for float, and much faster.
    using Number = std::conditional_t<sizeof(T) == 4, double, long double>;
    const Number exact = softstep::reference::exp_nonpositive<Number>(x);
    double error;
    if (is_normal_result<T>(exact)) {
      const int power = std::ilogb(exact) - (Limits<T>::digits - 1);
      error = static_cast<double>(std::fabs(std::scalbn(y - exact, -power)));
      if (!(error <= ulp)) ulp = error;
    } else {
      error = static_cast<double>(std::fabs(y - exact) / Limits<T>::min());
      if (!(error <= absolute)) absolute = error;
    }
    nan = nan || std::isnan(error);
  }
  // Where the result is below the smallest normal number 0 is an answer, and so is the rounded result.
  bool ok() const { return !nan && ulp <= 1.5 && absolute <= 1.0; }
};

// All floats from `first` down to `last`, every `stride`-th.
ExpErrors sweep_floats(const Isa& isa, std::uint32_t stride, float first, float last) {
  ExpErrors errors;
  const std::uint32_t begin = std::bit_cast<std::uint32_t>(first), end = std::bit_cast<std::uint32_t>(last);
  std::vector<float> x;
  for (std::uint32_t bits = begin; bits <= end; bits += stride) {
    x.push_back(std::bit_cast<float>(bits));
    if (x.size() < 4096 && end - bits >= stride) continue;
    const std::vector<float> y = exp_of(isa, x);
    for (std::size_t k = 0; k < x.size(); ++k) errors.add(x[k], y[k]);
    x.clear();
    if (end - bits < stride) break;
  }
  return errors;
}

}  // namespace

TEST_CASE("exp of a float is within 1.5 ULP: a dense sample of all there are", "[simd]") {
  for_each_isa([&](const Isa& isa) {
    // A prime stride, so that all low bits come up.
    const ExpErrors errors = sweep_floats(isa, 307, -0.0f, -104.0f);
    INFO(isa.name << ": " << errors.ulp << " ULP, " << errors.absolute << " of the smallest normal number");
    CHECK(errors.ok());
  });
}

TEST_CASE("exp of a float is within 1.5 ULP: every one that does not round to 1 at once", "[simd][long]") {
  for_each_isa([&](const Isa& isa) {
    const ExpErrors errors = sweep_floats(isa, 1, -0x1p-26f, -104.0f);
    INFO(isa.name << ": " << errors.ulp << " ULP, " << errors.absolute << " of the smallest normal number");
    CHECK(errors.ok());
  });
}

TEMPLATE_TEST_CASE("exp is within 1.5 ULP on random arguments and next to every change of the power of two",
                   "[simd]", float, double) {
  using T = TestType;
  std::mt19937_64 random(1);
  const double lowest = std::log(static_cast<double>(Limits<T>::denorm_min())) - 5.0;
  std::uniform_real_distribution<double> uniform(lowest, 0.0), logarithm(-60.0, 10.0);
  std::vector<T> x;
  for (int k = 0; k < 100000; ++k) x.push_back(static_cast<T>(uniform(random)));
  for (int k = 0; k < 20000; ++k) x.push_back(static_cast<T>(-std::exp2(logarithm(random))));
  // n log 2 and (n + 1/2) log 2, where the power of two and the reduced argument change, and their neighbours
  for (int n = 0; n <= 2 * -static_cast<int>(lowest / std::log(2.0)); ++n) {
    const T edge = static_cast<T>(-0.5 * n * std::log(2.0L));
    T below = edge, above = edge;
    for (int k = 0; k < 4; ++k) {
      x.push_back(below);
      x.push_back(above);
      below = std::nextafter(below, -Limits<T>::infinity());
      above = std::min(T(0), std::nextafter(above, T(0)));
    }
  }
  // The smallest arguments with a normal result.
  T edge = static_cast<T>(std::log(static_cast<long double>(Limits<T>::min())));
  for (int k = 0; k < 8; ++k) edge = std::nextafter(edge, -Limits<T>::infinity());
  for (int k = 0; k < 16; ++k) x.push_back(edge = std::nextafter(edge, T(0)));
  for_each_isa([&](const Isa& isa) {
    const std::vector<T> y = exp_of(isa, x);
    ExpErrors errors;
    for (std::size_t k = 0; k < x.size(); ++k) errors.add(x[k], y[k]);
    INFO(isa.name << ": " << errors.ulp << " ULP, " << errors.absolute << " of the smallest normal number");
    CHECK(errors.ok());
  });
}

TEMPLATE_TEST_CASE("exp of zero is one, of -infinity zero, of NaN NaN, in every lane", "[simd]", float,
                   double) {
  using T = TestType;
  constexpr T infinity = Limits<T>::infinity(), nan = Limits<T>::quiet_NaN();
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 1; n <= 35; ++n)
      for (std::size_t lane = 0; lane < n; ++lane) {
        const auto at = [&](T special) {
          std::vector<T> x(n, T(-1));
          x[lane] = special;
          const std::vector<T> y = exp_of(isa, x);
          const T usual = exp_of(isa, std::vector<T>(n, T(-1)))[0];
          for (std::size_t k = 0; k < n; ++k)
            if (k != lane && !(y[k] == usual)) FAIL("lane " << lane << " of " << n << " changed lane " << k);
          return y[lane];
        };
        if (!(at(T(0)) == T(1) && at(-T(0)) == T(1))) FAIL("exp(0) is not 1 in lane " << lane);
        const T zero = at(-infinity);
        if (!(zero == T(0) && !std::signbit(zero))) FAIL("exp(-inf) is " << zero << " in lane " << lane);
        if (!std::isnan(at(nan))) FAIL("exp(NaN) is a number in lane " << lane);
        if (!std::isnan(at(-nan))) FAIL("exp(-NaN) is a number in lane " << lane);
        if (!(at(Limits<T>::lowest()) == T(0))) FAIL("exp(lowest) is not 0 in lane " << lane);
        if (!(at(-Limits<T>::denorm_min()) == T(1))) FAIL("exp(-denorm_min) is not 1 in lane " << lane);
      }
  });
}

TEMPLATE_TEST_CASE("exp never rises above one and hardly falls as its argument rises", "[simd]", float,
                   double) {
  using T = TestType;
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform(std::log(static_cast<double>(Limits<T>::min())), 0.0);
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (int k = 0; k < 2000; ++k) {
      std::vector<T> x{k == 0 ? T(0) : static_cast<T>(uniform(random))};
      while (x.size() < 40) x.push_back(std::nextafter(x.back(), -Limits<T>::infinity()));
      const std::vector<T> y = exp_of(isa, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (!(y[i] <= T(1))) FAIL("exp(" << x[i] << ") = " << y[i]);
        // Two results of at most 1.5 ULP each: 3 ULP of the larger, which is at most 3 epsilon of it.
        if (i > 0 && !(y[i] <= y[i - 1] * (1 + 3 * Limits<T>::epsilon()))) FAIL("exp falls at " << x[i]);
      }
    }
  });
}

TEMPLATE_TEST_CASE("exp reads and writes its n elements and no more, also in place", "[simd]", float,
                   double) {
  using T = TestType;
  for_each_isa([&](const Isa& isa) {
    INFO(isa.name);
    for (std::size_t n = 0; n <= 67; ++n) {
      std::vector<T> values(n);
      for (std::size_t k = 0; k < n; ++k) values[k] = static_cast<T>(-0.37 * static_cast<double>(k));
      const auto x = Guarded<T>::copy_of(values);
      Guarded<T> y(n + 1);
      y[0] = T(77);
      isa.kernels<T>().exp_nonpositive(x.data(), y.data() + 1, n);
      const std::vector<T> expected = exp_of(isa, values);
      CHECK(y[0] == T(77));
      if (n != 0) CHECK(std::memcmp(expected.data(), y.data() + 1, n * sizeof(T)) == 0);
      Guarded<T> in_place = Guarded<T>::copy_of(values);
      isa.kernels<T>().exp_nonpositive(in_place.data(), in_place.data(), n);
      if (n != 0) CHECK(std::memcmp(expected.data(), in_place.data(), n * sizeof(T)) == 0);
    }
  });
}
