#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace softstep {

/// A constraint matrix A = (best - other) query^T by the very numbers that were given.
struct ExactRow {
  std::vector<double> best, other;  ///< an empty `other` is 0
  std::vector<double> query;
  std::size_t sample;  ///< rows of one sample have the same query
};

using ExactRows = std::function<ExactRow(std::size_t)>;

}  // namespace softstep
