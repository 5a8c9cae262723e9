#include "core/linalg/positive_definite.h"

#include <cmath>

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/QR>

namespace softstep {

bool solve_positive_definite(const std::vector<double>& h, std::vector<double>& b) {
  const auto n = static_cast<Eigen::Index>(b.size());
  const Eigen::Map<const Eigen::MatrixXd> matrix(h.data(), n, n);
  const Eigen::VectorXd scale = matrix.diagonal().array().rsqrt();
  if (!scale.allFinite()) return false;
  const Eigen::MatrixXd unit = scale.asDiagonal() * matrix * scale.asDiagonal();
  Eigen::Map<Eigen::VectorXd> x(b.data(), n);
  const Eigen::VectorXd right = scale.cwiseProduct(x);
  for (double lift = 0.0; lift < 1e-8; lift = lift == 0.0 ? 1e-16 * static_cast<double>(n) : 10.0 * lift) {
    Eigen::MatrixXd lifted = unit;
    lifted.diagonal().array() += lift;
    const Eigen::LLT<Eigen::MatrixXd> factor(lifted);
    if (factor.info() != Eigen::Success) continue;
    const Eigen::VectorXd solution = factor.solve(right);
    if (!solution.allFinite()) continue;
    x = scale.cwiseProduct(solution);
    return true;
  }
  return false;
}

bool solve_normal_equations(const std::vector<double>& j, std::size_t rows, std::vector<double>& b) {
  const auto n = static_cast<Eigen::Index>(b.size());
  Eigen::MatrixXd matrix = Eigen::Map<const Eigen::MatrixXd>(j.data(), static_cast<Eigen::Index>(rows), n);
  const Eigen::VectorXd scale = matrix.colwise().norm().cwiseInverse();
  if (!scale.allFinite()) return false;
  matrix = matrix * scale.asDiagonal();
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(matrix);
  const auto r = qr.matrixQR().topRows(n).triangularView<Eigen::Upper>();
  Eigen::Map<Eigen::VectorXd> x(b.data(), n);
  const Eigen::VectorXd right = scale.cwiseProduct(x);
  const auto solve = [&](Eigen::VectorXd v) {
    r.transpose().solveInPlace(v);
    r.solveInPlace(v);
    return v;
  };
  Eigen::VectorXd solution = solve(right);
  // The semi-normal equations are as good as the factorisation after one correction.
  solution += solve(right - matrix.transpose() * (matrix * solution));
  if (!solution.allFinite()) return false;
  x = scale.cwiseProduct(solution);
  return true;
}

}  // namespace softstep
