#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "job.h"
#include "softstep/max_margin.h"

namespace softstep::program {

/// The max-margin direction of the points that a decoder or a regression has to tell apart: token chosen[i]
/// of sample i, or its first token if none are chosen. Over ranks the points of all go to all, a vector of
/// each sample, and each solves for all of them.
template <class T>
MaxMarginResult solve_points(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                             const MaxMarginOptions& options = {}) {
  Ranks* const ranks = options.ranks.get();
  MaxMarginOptions alone = options;
  alone.ranks = nullptr;
  if (ranks != nullptr)
    alone.progress = [&options, ranks](std::size_t sweeps, double gap, double residual) {
      const bool goes_on = !options.progress || options.progress(sweeps, gap, residual);
      const std::vector<char> all = of_all_ranks(ranks, static_cast<char>(goes_on ? 1 : 0));
      return std::find(all.begin(), all.end(), 0) == all.end();
    };
  std::vector<T> points;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const T* x = batch.sample(i) + (chosen.empty() ? 0 : chosen[i]) * batch.row_stride();
    points.insert(points.end(), x, x + batch.dim);
  }
  const std::vector<std::int8_t> labels(batch.labels, batch.labels + batch.n_samples);
  return solve_linear_max_margin(joined_of_all(ranks, points), joined_of_all(ranks, labels), batch.dim,
                                 alone);
}

}  // namespace softstep::program
