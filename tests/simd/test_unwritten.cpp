// What valgrind must find before its silence over the other tests means anything (tools/check --memcheck): a
// result that depends on an element that nobody has written. Without valgrind that element is the zero of a
// new page.

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>

#include "support/guarded.h"
#include "support/isas.h"

TEMPLATE_TEST_CASE("a dot product over one element that was never written", "[simd][unwritten]", float,
                   double) {
  using T = TestType;
  softstep::test::for_each_isa([](const softstep::simd::Isa& isa) {
    for (const std::size_t n : {1, 5, 70}) {
      softstep::test::Guarded<T> x(n), y(n);
      for (std::size_t k = 0; k < n; ++k) y[k] = T(1);
      for (std::size_t k = 0; k + 1 < n; ++k) x[k] = T(1);
      INFO(isa.name << " n = " << n);
      CHECK(isa.kernels<T>().dot(n, x.data(), y.data()) == static_cast<double>(n - 1));
    }
  });
}
