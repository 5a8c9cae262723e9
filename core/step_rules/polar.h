#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/linalg/svd.h"

namespace softstep::rules {

/// A <- U V^T of A = U S V^T, n_rows x n_cols, over the singular values above max(n_rows, n_cols) epsilon
/// s_1, epsilon that of the gradient's type T: smaller ones are rounding and count as zero.
template <class T>
void polar_factor(std::vector<double>& a, std::size_t n_rows, std::size_t n_cols) {
  const std::size_t k = std::min(n_rows, n_cols);
  const Svd svd = singular_values_and_vectors(a.data(), n_rows, n_cols);
  const double rounding = static_cast<double>(std::max(n_rows, n_cols)) *
                          static_cast<double>(std::numeric_limits<T>::epsilon()) * svd.s[0];
  std::size_t rank = 0;
  while (rank < k && svd.s[rank] > rounding) ++rank;
  for (std::size_t r = 0; r < n_rows; ++r)
    for (std::size_t c = 0; c < n_cols; ++c) {
      double sum = 0.0;
      for (std::size_t j = 0; j < rank; ++j) sum += svd.u[r * k + j] * svd.v[c * k + j];
      a[r * n_cols + c] = sum;
    }
}

}  // namespace softstep::rules
