#pragma once

#include <concepts>

namespace softstep {

/// What the library computes in: float or double.
template <class T>
concept NumberType = std::same_as<T, float> || std::same_as<T, double>;

}  // namespace softstep
