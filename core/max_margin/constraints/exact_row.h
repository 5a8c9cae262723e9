#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace softstep {

/// A constraint matrix A = (best - other) query^T by the very numbers that were given.
struct ExactRow {
  std::vector<double> best, other;  ///< an empty `other` is 0
  std::vector<double> query;
  std::size_t sample;  ///< which query of which sample: rows of one have it in common
};

using ExactRows = std::function<ExactRow(std::size_t)>;

}  // namespace softstep
