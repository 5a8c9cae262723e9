#include "core/max_margin/norms/nuclear_barrier.h"

#include <cmath>
#include <limits>

#include "core/linalg/positive_definite.h"

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Core>
#include <Eigen/QR>

namespace softstep {
namespace {

using Matrix = Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr double infinity = std::numeric_limits<double>::infinity();

Eigen::Map<const RowMajor> vectors(const std::vector<double>& columns, std::size_t dim) {
  const auto d = static_cast<Eigen::Index>(dim);
  return {columns.data(), d, d};
}

// 1 - s^2 without cancellation in s^2
double gap(double s) { return (1.0 - s) * (1.0 + s); }

}  // namespace

Svd NuclearBarrier::svd_of(const std::vector<double>& x) const {
  const std::vector<double> c = constraints_.combination(x);
  return singular_values_and_vectors(c.data(), constraints_.dim, constraints_.dim);
}

double NuclearBarrier::value(double tau, const std::vector<double>& x) {
  double sum = 0.0;
  for (const double l : x) {
    if (!(l > 0.0)) return infinity;
    sum -= tau * l + std::log(l);
  }
  const std::vector<double> c = constraints_.combination(x);
  for (const double s : singular_values_of(c.data(), constraints_.dim, constraints_.dim)) {
    if (!(s < 1.0)) return infinity;
    sum -= std::log(gap(s));
  }
  return sum;
}

double NuclearBarrier::magnitude(double tau, const std::vector<double>& x) {
  double sum = 1.0;
  for (const double l : x) sum += tau * l + std::fabs(std::log(l));
  return sum;
}

double NuclearBarrier::newton(double tau, const std::vector<double>& x, std::vector<double>& direction) {
  const auto n = static_cast<Eigen::Index>(constraints_.size());
  const auto n_samples = static_cast<Eigen::Index>(constraints_.n_samples);
  const auto d = static_cast<Eigen::Index>(constraints_.dim);
  const Svd svd = svd_of(x);
  const Eigen::Map<const Eigen::VectorXd> s(svd.s.data(), d);
  const Eigen::VectorXd near = (1.0 - s.array()).inverse(), far = (1.0 + s.array()).inverse();
  const Eigen::Map<const RowMajor> differences(constraints_.differences.data(), n, d);
  const Eigen::Map<const RowMajor> queries(constraints_.queries.data(), n_samples, d);
  const RowMajor u = differences * vectors(svd.u, constraints_.dim);
  const RowMajor v = queries * vectors(svd.v, constraints_.dim);
  const Eigen::VectorXd sg = s.cwiseProduct(near).cwiseProduct(far);

  const Eigen::Index rows = d * d + n;
  std::vector<double> roots(static_cast<std::size_t>(rows * n), 0.0), gradient(static_cast<std::size_t>(n));
  // The weights, in the order of the rows: sum and difference of each pair, and the diagonal.
  Matrix sums(d, d), differs(d, d);
  for (Eigen::Index j = 0; j < d; ++j)
    for (Eigen::Index l = 0; l <= j; ++l) {
      sums(l, j) = std::sqrt((far[j] * far[l] + near[j] * near[l]) * (j == l ? 1.0 : 0.5));
      differs(l, j) = std::sqrt((far[j] * near[l] + near[j] * far[l]) * 0.5);
    }
  for (Eigen::Index k = 0; k < n; ++k) {
    const auto index = static_cast<std::size_t>(k);
    const auto i = static_cast<Eigen::Index>(constraints_.owner[index]);
    double* column = roots.data() + k * rows;
    for (Eigen::Index j = 0; j < d; ++j) {
      *column++ = u(k, j) * v(i, j) * sums(j, j);
      for (Eigen::Index l = 0; l < j; ++l) {
        const double x_jl = u(k, j) * v(i, l), x_lj = u(k, l) * v(i, j);
        *column++ = (x_jl + x_lj) * sums(l, j);
        *column++ = (x_jl - x_lj) * differs(l, j);
      }
    }
    column[k] = 1.0 / x[index];
    gradient[index] = 2.0 * u.row(k).cwiseProduct(v.row(i)).dot(sg) - tau - 1.0 / x[index];
  }
  direction = gradient;
  if (!solve_normal_equations(roots, static_cast<std::size_t>(rows), direction))
    return std::numeric_limits<double>::quiet_NaN();
  double decrement = 0.0;
  for (std::size_t k = 0; k < direction.size(); ++k) {
    decrement += gradient[k] * direction[k];
    direction[k] = -direction[k];
  }
  return decrement;
}

// W is computed from 1 - s^2, which loses as many digits as tau has. The singular spaces of s near 1 are
// known well. So W is corrected by matrices with rows or columns in these spaces, which change <C, W> = ||W||
// in second order only: the smallest such change, by least squares, that makes the margins 1 + 1 / (tau
// lambda_k).
std::vector<double> NuclearBarrier::corrected(double tau, const std::vector<double>& x, const Svd& svd,
                                              const std::vector<double>& sizes) const {
  const auto d = static_cast<Eigen::Index>(constraints_.dim);
  Eigen::Index rank = 0;
  while (rank < d && sizes[static_cast<std::size_t>(rank)] > std::sqrt(sizes[0] / tau)) ++rank;
  std::vector<std::size_t> active;
  for (std::size_t k = 0; k < x.size(); ++k)
    if (x[k] > 1.0 / std::sqrt(tau)) active.push_back(k);
  const Eigen::Map<const RowMajor> differences(constraints_.differences.data(),
                                               static_cast<Eigen::Index>(constraints_.size()), d);
  const Eigen::Map<const RowMajor> queries(constraints_.queries.data(),
                                           static_cast<Eigen::Index>(constraints_.n_samples), d);
  const RowMajor u = differences * vectors(svd.u, constraints_.dim);
  const RowMajor v = queries * vectors(svd.v, constraints_.dim);
  const auto n = static_cast<Eigen::Index>(active.size());
  RowMajor rows(n, 2 * d * rank - rank * rank);
  Matrix core = Matrix::Zero(d, d);
  for (Eigen::Index j = 0; j < d; ++j) core(j, j) = sizes[static_cast<std::size_t>(j)];
  const auto coordinates = [&](const auto& visit) {
    Eigen::Index place = 0;
    for (Eigen::Index j = 0; j < d; ++j)
      for (Eigen::Index l = 0; l < d; ++l)
        if (j < rank || l < rank) visit(place++, j, l);
  };
  Eigen::VectorXd missing(n);
  for (Eigen::Index a = 0; a < n; ++a) {
    const std::size_t k = active[static_cast<std::size_t>(a)];
    const auto i = static_cast<Eigen::Index>(constraints_.owner[k]), row = static_cast<Eigen::Index>(k);
    coordinates(
        [&](Eigen::Index place, Eigen::Index j, Eigen::Index l) { rows(a, place) = u(row, j) * v(i, l); });
    double margin = 0.0;
    for (Eigen::Index j = 0; j < d; ++j) margin += u(row, j) * core(j, j) * v(i, j);
    missing[a] = 1.0 + 1.0 / (tau * x[k]) - margin;
  }
  const Eigen::VectorXd change = rows.completeOrthogonalDecomposition().solve(missing);
  coordinates([&](Eigen::Index place, Eigen::Index j, Eigen::Index l) { core(j, l) += change[place]; });
  const RowMajor weights =
      vectors(svd.u, constraints_.dim) * core * vectors(svd.v, constraints_.dim).transpose();
  return std::vector<double>(weights.data(), weights.data() + weights.size());
}

std::vector<Barrier::Pair> NuclearBarrier::pairs(double tau, const std::vector<double>& x) {
  const Svd svd = svd_of(x);
  std::vector<double> sizes;
  for (const double s : svd.s) sizes.push_back(2.0 / tau * s / gap(s));
  const Eigen::Map<const Eigen::VectorXd> w(sizes.data(), static_cast<Eigen::Index>(sizes.size()));
  const RowMajor weights =
      vectors(svd.u, constraints_.dim) * w.asDiagonal() * vectors(svd.v, constraints_.dim).transpose();
  return {{std::vector<double>(weights.data(), weights.data() + weights.size()), x},
          {corrected(tau, x, svd, sizes), x}};
}

}  // namespace softstep
