#pragma once

// The outer layer of a network with one hidden layer: given, or a block that is trained.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "softstep/error.h"
#include "softstep/model.h"

namespace softstep {

inline void validate_outer(std::size_t n_neurons, const std::vector<double>& outer) {
  if (n_neurons < 1) throw InvalidArgument("n_neurons", std::to_string(n_neurons) + " (need at least 1)");
  if (!outer.empty() && outer.size() != n_neurons)
    throw InvalidArgument("outer", std::to_string(outer.size()) + " entries (need n_neurons = " +
                                       std::to_string(n_neurons) + ", or none to train it)");
  for (std::size_t k = 0; k < outer.size(); ++k)
    if (!std::isfinite(outer[k]))
      throw InvalidArgument("outer", "entry " + std::to_string(k) + ": " + data::number_text(outer[k]) +
                                         " (need a finite number)");
}

inline std::vector<BlockShape> outer_blocks(std::size_t n_neurons, std::size_t dim,
                                            const std::vector<double>& outer) {
  std::size_t size = 0;
  if (!data::multiply(n_neurons, dim, data::max_bytes / sizeof(double), size))
    throw InvalidArgument("n_neurons", std::to_string(n_neurons) + " (with dim " + std::to_string(dim) +
                                           " their weights do not fit in memory)");
  std::vector<BlockShape> blocks = {{"weights", n_neurons, dim}};
  if (outer.empty()) blocks.push_back({"outer", n_neurons, 1});
  return blocks;
}

/// a, from where it is.
template <class T>
void set_outer(const std::vector<double>& outer, Point<T> at, std::vector<double>& out) {
  if (outer.empty())
    out.assign(at[1].begin(), at[1].end());
  else
    out = outer;
}

}  // namespace softstep
