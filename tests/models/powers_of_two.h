#pragma once

// What becomes of a model's numbers where its data are multiplied by a power of two.

#include <catch2/catch_test_macros.hpp>
#include <cmath>

namespace softstep::test {

/// That a logarithm has gone up by `moved`: powers of two change no digit, only the exponent is rounded a few
/// times.
inline void check_moved(double found, double before, double moved) {
  CHECK(std::fabs(found - before - moved) <= 4.0 * 0x1p-53 * std::fabs(moved) + 0x1p-48);
}

}  // namespace softstep::test
