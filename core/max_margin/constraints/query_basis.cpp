#include "core/max_margin/constraints/query_basis.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep {

QueryBasis make_query_basis(std::vector<double> unit_queries, std::size_t n, std::size_t dim,
                            const simd::Kernels<double>& kernels) {
  QueryBasis out;
  if (!spans_few_directions(n, dim)) {
    out.rank = out.stride = dim;
    out.coordinates = std::move(unit_queries);
    return out;
  }
  out.stride = n;
  out.coordinates.assign(n * n, 0.0);
  // Gram-Schmidt, twice for each row: after the second pass the basis is orthonormal to rounding whatever the
  // queries are. What is left of a repeated query is rounding noise and adds no direction.
  const double noise = 8.0 * std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(dim));
  for (std::size_t i = 0; i < n; ++i) {
    double* rest = unit_queries.data() + i * dim;
    double* row = out.coordinates.data() + i * n;
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t c = 0; c < out.rank; ++c) {
        const double* direction = out.basis.data() + c * dim;
        const double along = kernels.dot(dim, direction, rest);
        row[c] += along;
        kernels.axpy(dim, -along, direction, rest);
      }
    const double norm = std::sqrt(kernels.dot(dim, rest, rest));
    if (!(norm > noise)) continue;
    row[out.rank] = norm;
    for (std::size_t j = 0; j < dim; ++j) rest[j] /= norm;
    // A short remainder is not yet orthogonal to unit accuracy once it has been stretched.
    for (std::size_t c = 0; c < out.rank; ++c) {
      const double* direction = out.basis.data() + c * dim;
      kernels.axpy(dim, -kernels.dot(dim, direction, rest), direction, rest);
    }
    const double length = std::sqrt(kernels.dot(dim, rest, rest));
    for (std::size_t j = 0; j < dim; ++j) rest[j] /= length;
    out.basis.insert(out.basis.end(), rest, rest + dim);
    ++out.rank;
  }
  return out;
}

}  // namespace softstep
