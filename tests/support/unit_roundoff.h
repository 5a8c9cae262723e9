#pragma once

#include <limits>

namespace softstep::test {

/// u: a number rounded to nearest is off by at most u times its size.
template <class T>
constexpr double unit_roundoff = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;

}  // namespace softstep::test
