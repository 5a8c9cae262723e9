#pragma once

// Weights that are divided by their sum.

#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "core/data/text.h"
#include "softstep/error.h"

namespace softstep::data {

/// Throws InvalidArgument unless all are positive and their sum is finite.
inline void require_weights(const char* name, const std::vector<double>& values) {
  double sum = 0.0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    sum += values[k];
    if (!(values[k] > 0.0) || !(sum <= std::numeric_limits<double>::max()))
      throw InvalidArgument(name, "entry " + std::to_string(k) + " is " + number_text(values[k]) +
                                      " (need positive numbers of a finite sum)");
  }
}

/// Throws InvalidArgument unless the logarithm of each part of the sum over first[i] .. first[i + 1] - 1 has
/// its digits: of weights that passed the check above.
inline void require_parts(const char* name, const std::vector<double>& values,
                          const std::vector<std::size_t>& first) {
  for (std::size_t i = 0; i + 1 < first.size(); ++i) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first[i]),
               end = values.begin() + static_cast<std::ptrdiff_t>(first[i + 1]);
    const double sum = std::accumulate(begin, end, 0.0);
    for (auto value = begin; value != end; ++value)
      if (!(*value / sum >= std::numeric_limits<double>::min()))
        throw InvalidArgument(name, "entry " + std::to_string(value - values.begin()) + " is " +
                                        number_text(*value) + " (beside a sum of " + number_text(sum) +
                                        " that part is no normal number)");
  }
}

}  // namespace softstep::data
