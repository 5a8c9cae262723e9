// What a check of `reproduce` takes of several measurements.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "tools/reproduce/worst.h"

using namespace softstep::program::reproduce;

TEST_CASE("the worst of several measurements is NaN where one of them is", "[tools]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(),
                   inf = std::numeric_limits<double>::infinity();
  CHECK(larger(1.0, 2.0) == 2.0);
  CHECK(larger(2.0, 1.0) == 2.0);
  CHECK(smaller(1.0, 2.0) == 1.0);
  CHECK(smaller(2.0, 1.0) == 1.0);
  for (const double other : {0.0, 1.0, -inf, inf}) {
    CHECK(std::isnan(larger(nan, other)));
    CHECK(std::isnan(larger(other, nan)));
    CHECK(std::isnan(smaller(nan, other)));
    CHECK(std::isnan(smaller(other, nan)));
  }
  std::vector<double> values = {0.5, 3.0, -1.0};
  CHECK(largest_of(values) == 3.0);
  CHECK(smallest_of(values) == -1.0);
  for (std::size_t k = 0; k < values.size(); ++k) {
    std::vector<double> one = values;
    one[k] = nan;
    CHECK(std::isnan(largest_of(one)));
    CHECK(std::isnan(smallest_of(one)));
  }
  CHECK(largest_of({}) == -inf);
  CHECK(smallest_of({}) == inf);
}
