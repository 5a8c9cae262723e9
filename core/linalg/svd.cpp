#include "core/linalg/svd.h"

#include <algorithm>
#include <cmath>
#include <optional>

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

// Divide and conquer, where it can be trusted. In Eigen 3.4 it fails for some matrices without full rank,
// those of equal entries among them: what rounding leaves of one has equal rows again, step after step.
// It then reads before an array, where a rounding unit of a block of the bidiagonal matrix is subnormal (a
// block is as large as its largest entry, so none is where every entry is 0 or not tiny), or returns NaN, or
// vectors that are far from orthonormal.
class DivideAndConquer {
 public:
  /// The largest entry is 1: Eigen would divide by it, and then decompose another matrix than the one looked
  /// at.
  DivideAndConquer(const Matrix& unit, unsigned options) {
    if (has_no_tiny_block(unit)) svd_.emplace(unit, options);
    if (svd_ && !is_right(unit)) svd_.reset();
  }
  const std::optional<Eigen::BDCSVD<Matrix>>& result() const { return svd_; }

 private:
  static bool has_no_tiny_block(const Matrix& unit) {
    const Matrix tall = unit.cols() > unit.rows() ? Matrix(unit.transpose()) : unit;
    const Eigen::internal::UpperBidiagonalization<Matrix> parts(tall);
    const auto is_fine = [](double x) { return x == 0.0 || std::fabs(x) >= 0x1p-900; };
    return parts.bidiagonal().toDenseMatrix().unaryExpr(is_fine).all();
  }
  // Within what a backward stable decomposition may be off by; NaN is not.
  bool is_right(const Matrix& unit) const {
    const double bound = 16.0 * static_cast<double>(unit.rows() + unit.cols()) * 0x1p-53, norm = unit.norm();
    const auto is_small = [&](const Matrix& error, double size) {
      return (error.array().abs() <= bound * size).all();
    };
    const auto& s = svd_->singularValues();
    if (!(std::fabs(s.norm() - norm) <= bound * norm)) return false;
    if (!svd_->computeU()) return true;
    const Matrix &u = svd_->matrixU(), &v = svd_->matrixV(), one = Matrix::Identity(s.size(), s.size());
    return is_small(u.transpose() * u - one, 1.0) && is_small(v.transpose() * v - one, 1.0) &&
           is_small(u * s.asDiagonal() * v.transpose() - unit, s[0]);
  }

  std::optional<Eigen::BDCSVD<Matrix>> svd_;
};

template <class Decomposition>
std::vector<double> values_of(const Decomposition& svd, double scale, int exponent) {
  std::vector<double> s(static_cast<std::size_t>(svd.singularValues().size()));
  for (std::size_t k = 0; k < s.size(); ++k)
    s[k] = std::ldexp(svd.singularValues()[static_cast<Eigen::Index>(k)] * scale, exponent);
  return s;
}

std::vector<double> row_major(const Matrix& matrix) {
  std::vector<double> out(static_cast<std::size_t>(matrix.size()));
  Eigen::Map<RowMajor>(out.data(), matrix.rows(), matrix.cols()) = matrix;
  return out;
}

// `take` of the decomposition, whose singular values times scale 2^exponent are those of the matrix.
template <class Result, class Take>
Result decompose(const double* a, std::size_t n_rows, std::size_t n_cols, unsigned options, Take take) {
  const InRange in = in_range(a, n_rows, n_cols);
  if (std::min(n_rows, n_cols) > jacobi_up_to) {
    const double largest = in.matrix.cwiseAbs().maxCoeff(), scale = largest == 0.0 ? 1.0 : largest;
    const DivideAndConquer faster(in.matrix / scale, options);
    if (faster.result()) return take(*faster.result(), scale, in.exponent);
  }
  return take(Eigen::JacobiSVD<Matrix>(in.matrix, options), 1.0, in.exponent);
}

}  // namespace

Svd singular_values_and_vectors(const double* a, std::size_t n_rows, std::size_t n_cols) {
  if (n_rows == 0 || n_cols == 0) return {};
  constexpr unsigned thin = Eigen::ComputeThinU | Eigen::ComputeThinV;
  return decompose<Svd>(a, n_rows, n_cols, thin, [](const auto& svd, double scale, int exponent) -> Svd {
    return {row_major(svd.matrixU()), values_of(svd, scale, exponent), row_major(svd.matrixV())};
  });
}

std::vector<double> singular_values_of(const double* a, std::size_t n_rows, std::size_t n_cols) {
  if (n_rows == 0 || n_cols == 0) return {};
  return decompose<std::vector<double>>(
      a, n_rows, n_cols, 0,
      [](const auto& svd, double scale, int exponent) { return values_of(svd, scale, exponent); });
}

}  // namespace softstep
