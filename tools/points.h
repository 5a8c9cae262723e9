#pragma once

#include <cstddef>
#include <vector>

#include "softstep/max_margin.h"

namespace softstep::program {

/// The max-margin direction of the points that a decoder or a regression has to tell apart: token chosen[i]
/// of sample i, or its first token if none are chosen.
template <class T>
MaxMarginResult solve_points(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                             const MaxMarginOptions& options = {}) {
  std::vector<T> points;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const T* x = batch.sample(i) + (chosen.empty() ? 0 : chosen[i]) * batch.row_stride();
    points.insert(points.end(), x, x + batch.dim);
  }
  return solve_linear_max_margin(points, std::span(batch.labels, batch.n_samples), batch.dim, options);
}

}  // namespace softstep::program
