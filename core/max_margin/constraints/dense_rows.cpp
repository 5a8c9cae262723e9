#include "core/max_margin/constraints/dense_rows.h"

#include <algorithm>
#include <cmath>

#include "core/max_margin/constraints/range.h"
#include "softstep/metrics.h"

namespace softstep {

DenseRows::DenseRows(std::vector<double> rows, std::size_t n_rows, std::size_t size,
                     const simd::Kernels<double>& kernels)
    : rows_(std::move(rows)), size_(size), kernels_(kernels), sizes_(n_rows), zero_row_(n_rows) {
  std::vector<double> norms(n_rows, 0.0);
  std::vector<int> exponents(n_rows, 0);
  for (std::size_t k = 0; k < n_rows; ++k) {
    double* row = rows_.data() + k * size;
    const int scale = scale_towards_one(row, size);
    const double norm = frobenius_norm({row, size});
    if (!(norm > 0.0)) {
      if (zero_row_ == n_rows) zero_row_ = k;
      continue;
    }
    for (std::size_t j = 0; j < size; ++j) row[j] /= norm;
    const int exponent = std::ilogb(norm);
    norms[k] = std::ldexp(norm, -exponent);
    exponents[k] = exponent - scale;
  }
  if (zero_row_ == n_rows) take_sizes(norms, exponents, sizes_, exponent_);
}

void DenseRows::adjoint(const double* multipliers, double* span) {
  std::fill_n(span, size_, 0.0);
  for (std::size_t k = 0; k < n_rows(); ++k)
    if (multipliers[k] != 0.0) kernels_.axpy(size_, multipliers[k], rows_.data() + k * size_, span);
}

void DenseRows::apply(const double* span, double* values) {
  for (std::size_t k = 0; k < n_rows(); ++k) values[k] = kernels_.dot(size_, rows_.data() + k * size_, span);
}

// Neighbours; no more than fit beside the rows themselves.
std::vector<std::pair<std::size_t, std::size_t>> DenseRows::blocks() const {
  const std::size_t most = std::clamp<std::size_t>(size_, 8, 64), n = n_rows(), parts = (n + most - 1) / most;
  std::vector<std::pair<std::size_t, std::size_t>> out;
  for (std::size_t b = 0; b < parts; ++b) {
    const std::size_t begin = n * b / parts, end = n * (b + 1) / parts;
    out.emplace_back(begin, end - begin);
  }
  return out;
}

void DenseRows::block_gram(std::size_t first, std::size_t count, double* gram) {
  const double* rows = rows_.data() + first * size_;
  kernels_.product_nt({count, count, size_, rows, size_, rows, size_, gram, count});
}

std::vector<double> DenseRows::gram() {
  std::vector<double> out(n_rows() * n_rows());
  block_gram(0, n_rows(), out.data());
  return out;
}

}  // namespace softstep
