#pragma once

// Singular values and vectors of a small dense matrix.

#include <cstddef>
#include <vector>

namespace softstep {

/// A = U diag(s) V^T with k = min(n_rows, n_cols).
struct Svd {
  std::vector<double> u;  ///< n_rows x k, row-major
  std::vector<double> s;  ///< k, descending, none negative
  std::vector<double> v;  ///< n_cols x k, row-major
};

/// `a` is n_rows x n_cols, row-major, contiguous. Backward stable whatever the size of the entries: s is off
/// by a small multiple of (n_rows + n_cols) u s_1. Throws InvalidArgument where an entry is not finite.
Svd singular_values_and_vectors(const double* a, std::size_t n_rows, std::size_t n_cols);
/// The same without the vectors, for a fraction of the work.
std::vector<double> singular_values_of(const double* a, std::size_t n_rows, std::size_t n_cols);

}  // namespace softstep
