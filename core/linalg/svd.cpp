#include "core/linalg/svd.h"

#include <algorithm>
#include <cmath>

#include "core/linalg/eigen_inside.h"
#include "softstep/error.h"

// after eigen_inside.h
#include <Eigen/SVD>

namespace softstep {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
// Jacobi rotations are right to a few rounding units; divide and conquer, faster for larger matrices,
// measurably less so.
constexpr std::size_t jacobi_up_to = 32;

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct InRange {
  Matrix matrix;
  int exponent = 0;  ///< the matrix times 2^exponent is the one given
};

// Scaled by a power of two, so that no square in the algorithm leaves the range.
InRange in_range(const double* a, std::size_t n_rows, std::size_t n_cols) {
  InRange out;
  out.matrix =
      Eigen::Map<const RowMajor>(a, static_cast<Eigen::Index>(n_rows), static_cast<Eigen::Index>(n_cols));
  double largest = 0.0;
  for (std::size_t k = 0; k < n_rows * n_cols; ++k) {
    if (!std::isfinite(a[k])) throw InvalidArgument("matrix", "has an entry that is not finite");
    largest = std::max(largest, std::fabs(a[k]));
  }
  if (largest == 0.0) return out;
  out.exponent = std::ilogb(largest);
  out.matrix = out.matrix.unaryExpr([&](double x) { return std::ldexp(x, -out.exponent); });
  return out;
}

template <class Decomposition>
std::vector<double> values_of(const Decomposition& svd, int exponent) {
  std::vector<double> s(static_cast<std::size_t>(svd.singularValues().size()));
  for (std::size_t k = 0; k < s.size(); ++k)
    s[k] = std::ldexp(svd.singularValues()[static_cast<Eigen::Index>(k)], exponent);
  return s;
}

std::vector<double> row_major(const Matrix& matrix) {
  std::vector<double> out(static_cast<std::size_t>(matrix.size()));
  Eigen::Map<RowMajor>(out.data(), matrix.rows(), matrix.cols()) = matrix;
  return out;
}

}  // namespace

Svd singular_values_and_vectors(const double* a, std::size_t n_rows, std::size_t n_cols) {
  if (n_rows == 0 || n_cols == 0) return {};
  const InRange scaled = in_range(a, n_rows, n_cols);
  const auto parts = [&](const auto& svd) -> Svd {
    return {row_major(svd.matrixU()), values_of(svd, scaled.exponent), row_major(svd.matrixV())};
  };
  constexpr unsigned thin = Eigen::ComputeThinU | Eigen::ComputeThinV;
  if (std::min(n_rows, n_cols) <= jacobi_up_to) return parts(Eigen::JacobiSVD<Matrix>(scaled.matrix, thin));
  return parts(Eigen::BDCSVD<Matrix>(scaled.matrix, thin));
}

std::vector<double> singular_values_of(const double* a, std::size_t n_rows, std::size_t n_cols) {
  if (n_rows == 0 || n_cols == 0) return {};
  const InRange scaled = in_range(a, n_rows, n_cols);
  if (std::min(n_rows, n_cols) <= jacobi_up_to)
    return values_of(Eigen::JacobiSVD<Matrix>(scaled.matrix), scaled.exponent);
  return values_of(Eigen::BDCSVD<Matrix>(scaled.matrix), scaled.exponent);
}

}  // namespace softstep
