#include "core/linalg/newton_schulz.h"

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Core>

namespace softstep {

void newton_schulz(double* a, std::size_t n_rows, std::size_t n_cols) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<RowMajor> given(a, static_cast<Eigen::Index>(n_rows), static_cast<Eigen::Index>(n_cols));
  // The smaller product of the two; divided by the largest entry first, for the squares.
  RowMajor x = n_rows > n_cols ? RowMajor(given.transpose()) : RowMajor(given);
  const double largest = x.size() == 0 ? 0.0 : x.cwiseAbs().maxCoeff();
  if (!(largest > 0.0)) return;
  x /= largest;
  x /= x.norm();
  RowMajor square, polynomial;
  for (int k = 0; k < 5; ++k) {
    square.noalias() = x * x.transpose();
    polynomial.noalias() = square * square;
    polynomial = 2.0315 * polynomial - 4.7750 * square;
    RowMajor next = 3.4445 * x;
    next.noalias() += polynomial * x;
    x.swap(next);
  }
  given = n_rows > n_cols ? RowMajor(x.transpose()) : x;
}

}  // namespace softstep
