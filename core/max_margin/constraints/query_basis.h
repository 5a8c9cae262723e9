#pragma once

#include <cstddef>
#include <vector>

#include "simd/dispatch.h"

namespace softstep {

/// Unit queries z_i / ||z_i|| in an orthonormal basis of their span: with few samples W = sum_i b_i z_i^T has
/// rank at most n, and d x rank coordinates hold it as exactly as d x d entries do.
struct QueryBasis {
  std::size_t rank = 0;
  std::size_t stride = 0;           ///< of `coordinates`, in elements
  std::vector<double> coordinates;  ///< n x rank: unit query i = sum_c coordinates_ic basis_c
  std::vector<double> basis;        ///< rank x d, orthonormal rows; empty: the coordinate axes (rank = d)
};

/// Whether n queries are taken in a basis of their own: their span is at most half of R^d.
inline bool spans_few_directions(std::size_t n, std::size_t dim) { return 2 * n <= dim; }

/// `unit_queries` is n x d, each row of norm 1 (or 0). Uses the axes when the span may be more than half of
/// R^d.
QueryBasis make_query_basis(std::vector<double> unit_queries, std::size_t n, std::size_t dim,
                            const simd::Kernels<double>& kernels);

}  // namespace softstep
