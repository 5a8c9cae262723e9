#pragma once

#include <omp.h>

#include <cstddef>

namespace softstep {

/// Part of an output matrix.
struct Block {
  std::size_t row, col, n_rows, n_cols;
};

/// Whether this many multiply-adds are worth starting threads for: a parallel region costs microseconds.
inline bool worth_threads(double work_items) { return work_items >= 2e5; }

/// Splits an n_rows x n_cols output into one band per thread along its longer side and calls body(Block) for
/// each. Outputs only are split, so the result has the same bits for any number of threads. One thread: no
/// parallel region.
template <class Body>
void for_each_block(std::size_t n_rows, std::size_t n_cols, int n_threads, Body body) {
  if (n_threads <= 1) {
    body(Block{0, 0, n_rows, n_cols});
    return;
  }
  const bool by_rows = n_rows >= n_cols;
  const std::size_t length = by_rows ? n_rows : n_cols, bands = static_cast<std::size_t>(n_threads);
  // Bands of whole cache lines, so that no two threads write to one.
  const std::size_t unit = 16, units = (length + unit - 1) / unit;
#pragma omp parallel for schedule(static) num_threads(n_threads)
  for (int b = 0; b < n_threads; ++b) {
    const auto k = static_cast<std::size_t>(b);
    const std::size_t begin = units * k / bands * unit;
    std::size_t end = units * (k + 1) / bands * unit;
    if (end > length) end = length;
    if (begin >= end) continue;
    body(by_rows ? Block{begin, 0, end - begin, n_cols} : Block{0, begin, n_rows, end - begin});
  }
}

/// body(index, thread) for every index, in one contiguous run per thread. One thread: no parallel region.
template <class Body>
void for_each_index(std::size_t count, int n_threads, Body body) {
  if (n_threads <= 1) {
    for (std::size_t i = 0; i < count; ++i) body(i, std::size_t{0});
    return;
  }
#pragma omp parallel for schedule(static) num_threads(n_threads)
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(count); ++i)
    body(static_cast<std::size_t>(i), static_cast<std::size_t>(omp_get_thread_num()));
}

}  // namespace softstep
