#pragma once

// Rows of scores that the benchmarks of their kernels share: 24 rows, a lot of the forward pass.

#include <algorithm>

#include "core/reference/softmax_blocks.h"
#include "support.h"

namespace softstep::bench {

constexpr std::size_t score_rows = 24;

/// What an exponential is counted as (bench_exp_nonpositive.cpp).
template <class T>
constexpr double flops_of_exp = sizeof(T) == 4 ? 20 : 30;

/// Where the rows stand after their keys, from the reference.
template <class T>
struct RowsAfter {
  std::vector<T> top, second;
  std::vector<std::size_t> pivot;
  std::vector<long double> rest;
  RowsAfter(const std::vector<T>& scores, std::size_t n_keys) {
    for (std::size_t r = 0; r < score_rows; ++r) {
      const auto row = reference::softmax_rows<long double>(n_keys, scores.data() + r * n_keys);
      top.push_back(row.top);
      second.push_back(row.second);
      pivot.push_back(row.pivot);
      rest.push_back(row.rest);
    }
  }
};

}  // namespace softstep::bench
