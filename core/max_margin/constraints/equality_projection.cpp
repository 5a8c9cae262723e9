#include "core/max_margin/constraints/equality_projection.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "softstep/metrics.h"

namespace softstep {

EqualityProjection::EqualityProjection(std::vector<double> equalities, std::size_t size,
                                       const simd::Kernels<double>& kernels)
    : rows_(std::move(equalities)), size_(size), kernels_(kernels), sizes_(rows_.size() / size) {
  // What Gram-Schmidt leaves of a dependent equality is rounding noise, and no direction.
  const double noise = 8.0 * std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(size));
  std::vector<double> rest(size), along;
  for (std::size_t e = 0; e < sizes_.size(); ++e) {
    double* row = rows_.data() + e * size;
    sizes_[e] = frobenius_norm({row, size});
    if (!(sizes_[e] > 0.0)) continue;
    for (std::size_t j = 0; j < size; ++j) row[j] /= sizes_[e];
    rest.assign(row, row + size);
    along.assign(rank() + 1, 0.0);
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t c = 0; c < rank(); ++c) {
        const double* direction = basis_.data() + c * size;
        const double part = kernels_.dot(size, direction, rest.data());
        along[c] += part;
        kernels_.axpy(size, -part, direction, rest.data());
      }
    const double length = frobenius_norm({rest.data(), size});
    if (!(length > noise)) continue;
    for (double& x : rest) x /= length;
    project(rest.data());  // a short remainder is orthogonal to unit accuracy only once it has been stretched
    const double unit = frobenius_norm({rest.data(), size});
    for (double& x : rest) x /= unit;
    along.back() = kernels_.dot(size, rest.data(), row);
    basis_.insert(basis_.end(), rest.begin(), rest.end());
    factor_.insert(factor_.end(), along.begin(), along.end());
    independent_.push_back(e);
  }
}

void EqualityProjection::project(double* x) const {
  for (int pass = 0; pass < 2; ++pass)
    for (std::size_t c = 0; c < rank(); ++c) {
      const double* direction = basis_.data() + c * size_;
      kernels_.axpy(size_, -kernels_.dot(size_, direction, x), direction, x);
    }
}

std::vector<double> EqualityProjection::multipliers(const double* x) const {
  // sum_r mu_r sum_{c <= r} factor_rc basis_c = -sum_c <basis_c, x> basis_c, solved from the last r down.
  std::vector<double> out(sizes_.size(), 0.0), right(rank());
  for (std::size_t c = 0; c < rank(); ++c) right[c] = -kernels_.dot(size_, basis_.data() + c * size_, x);
  for (std::size_t r = rank(); r-- > 0;) {
    const double* row = factor_.data() + r * (r + 1) / 2;
    const double mu = right[r] / row[r];
    for (std::size_t c = 0; c < r; ++c) right[c] -= mu * row[c];
    out[independent_[r]] = mu / sizes_[independent_[r]];
  }
  return out;
}

void EqualityProjection::add(const std::vector<double>& mu, double* x) const {
  for (std::size_t e = 0; e < sizes_.size(); ++e)
    if (mu[e] != 0.0) kernels_.axpy(size_, mu[e] * sizes_[e], rows_.data() + e * size_, x);
}

double EqualityProjection::residual(const double* x) const {
  double worst = 0.0;
  for (std::size_t e = 0; e < sizes_.size(); ++e)
    if (sizes_[e] > 0.0) {
      const double value = std::fabs(kernels_.dot(size_, rows_.data() + e * size_, x));
      if (!(value <= worst)) worst = value;  // NaN stays
    }
  return worst;
}

}  // namespace softstep
