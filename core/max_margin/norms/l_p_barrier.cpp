#include "core/max_margin/norms/l_p_barrier.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/linalg/positive_definite.h"
#include "core/max_margin/norms/smoothed_power.h"

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Core>

namespace softstep {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// phi, its slope and its curvature for every entry.
struct Powers {
  double value = 0.0, magnitude = 0.0;  // sums
  std::vector<double> slope, curvature;
};

Powers powers_of(const std::vector<double>& x, double power, double tau) {
  Powers out;
  for (const double w : x) {
    const SmoothedPower one = smoothed_power(w, power, tau);
    out.value += one.value;
    out.magnitude += one.magnitude;
    out.slope.push_back(one.slope);
    out.curvature.push_back(one.curvature);
  }
  return out;
}

double sum_of_values(const std::vector<double>& x, double power, double tau) {
  double sum = 0.0;
  for (const double w : x) sum += smoothed_power(w, power, tau).value;
  return sum;
}

// H_kl = sum_rc A_k,rc theta_rc A_l,rc = D_k^T diag(t_ij) D_l, t_ij,r = sum_c theta_rc z_ic z_jc, for k of
// sample i and l of sample j; N x N.
std::vector<double> weighted_gram(const RankOneConstraints& constraints, const std::vector<double>& theta) {
  const auto n = static_cast<Eigen::Index>(constraints.size());
  const auto n_samples = static_cast<Eigen::Index>(constraints.n_samples);
  const auto d = static_cast<Eigen::Index>(constraints.dim);
  const Eigen::Map<const RowMajor> differences(constraints.differences.data(), n, d);
  const Eigen::Map<const RowMajor> queries(constraints.queries.data(), n_samples, d);
  const Eigen::Map<const RowMajor> weights(theta.data(), d, d);
  std::vector<double> out(static_cast<std::size_t>(n * n));
  Eigen::Map<RowMajor> gram(out.data(), n, n);
  const auto first = [&](Eigen::Index i) {
    return static_cast<Eigen::Index>(constraints.first[static_cast<std::size_t>(i)]);
  };
  for (Eigen::Index i = 0; i < n_samples; ++i) {
    const Eigen::MatrixXd t = weights * queries.row(i).asDiagonal() * queries.transpose();  // d x n_samples
    const Eigen::Index begin_i = first(i), count_i = first(i + 1) - begin_i;
    for (Eigen::Index j = i; j < n_samples; ++j) {
      const Eigen::Index begin_j = first(j), count_j = first(j + 1) - begin_j;
      gram.block(begin_i, begin_j, count_i, count_j) = differences.middleRows(begin_i, count_i) *
                                                       t.col(j).asDiagonal() *
                                                       differences.middleRows(begin_j, count_j).transpose();
    }
  }
  for (Eigen::Index k = 0; k < n; ++k)
    for (Eigen::Index l = 0; l < k; ++l) gram(k, l) = gram(l, k);
  return out;
}

}  // namespace

// ---- dual

double DualPowerBarrier::value(double tau, const std::vector<double>& x) {
  double sum = 0.0;
  for (const double l : x) {
    if (!(l > 0.0)) return infinity;
    sum -= tau * l + std::log(l);
  }
  const double value = sum + sum_of_values(constraints_.combination(x), q_, tau);
  return std::isnan(value) ? infinity : value;
}

double DualPowerBarrier::magnitude(double tau, const std::vector<double>& x) {
  double sum = 1.0 + powers_of(constraints_.combination(x), q_, tau).magnitude;
  for (const double l : x) sum += tau * l + std::fabs(std::log(l));
  return sum;
}

double DualPowerBarrier::newton(double tau, const std::vector<double>& x, std::vector<double>& direction) {
  const Powers powers = powers_of(constraints_.combination(x), q_, tau);
  std::vector<double> h = weighted_gram(constraints_, powers.curvature);
  std::vector<double> gradient = constraints_.values(powers.slope);
  for (std::size_t k = 0; k < x.size(); ++k) {
    h[k * x.size() + k] += 1.0 / (x[k] * x[k]);
    gradient[k] -= tau + 1.0 / x[k];
  }
  direction = gradient;
  if (!solve_positive_definite(h, direction)) return nan;
  double decrement = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    decrement += gradient[k] * direction[k];
    direction[k] = -direction[k];
  }
  return decrement;
}

std::vector<Barrier::Pair> DualPowerBarrier::pairs(double tau, const std::vector<double>& x) {
  std::vector<double> weights = powers_of(constraints_.combination(x), q_, tau).slope;
  for (double& w : weights) w /= tau;
  return {{std::move(weights), x}};
}

// ---- primal

double PrimalPowerBarrier::value(double tau, const std::vector<double>& x) {
  double sum = sum_of_values(x, p_, tau);
  for (const double value : constraints_.values(x)) {
    if (!(value > 1.0)) return infinity;
    sum -= std::log(value - 1.0);
  }
  return std::isnan(sum) ? infinity : sum;
}

double PrimalPowerBarrier::magnitude(double tau, const std::vector<double>& x) {
  double sum = 1.0 + powers_of(x, p_, tau).magnitude;
  for (const double value : constraints_.values(x))
    sum += std::fabs(std::log(value - 1.0)) + 1.0 / (value - 1.0);
  return sum;
}

double PrimalPowerBarrier::newton(double tau, const std::vector<double>& x, std::vector<double>& direction) {
  const Powers powers = powers_of(x, p_, tau);
  std::vector<double> theta;  // inverse of the diagonal
  for (const double curvature : powers.curvature) theta.push_back(1.0 / curvature);
  std::vector<double> slack = constraints_.values(x), pull(slack.size());
  for (std::size_t k = 0; k < slack.size(); ++k) {
    slack[k] -= 1.0;
    pull[k] = 1.0 / slack[k];
  }
  std::vector<double> gradient = powers.slope;
  const std::vector<double> barrier = constraints_.combination(pull);
  for (std::size_t j = 0; j < x.size(); ++j) gradient[j] -= barrier[j];
  // (T + A^T S^-2 A)^-1 g = T^-1 (g - A^T y),  (S^2 + A T^-1 A^T) y = A T^-1 g
  std::vector<double> scaled = gradient;
  for (std::size_t j = 0; j < x.size(); ++j) scaled[j] *= theta[j];
  std::vector<double> y = constraints_.values(scaled), h = weighted_gram(constraints_, theta);
  for (std::size_t k = 0; k < y.size(); ++k) h[k * y.size() + k] += slack[k] * slack[k];
  if (!solve_positive_definite(h, y)) return nan;
  const std::vector<double> back = constraints_.combination(y);
  double decrement = 0.0;
  direction.resize(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    direction[j] = theta[j] * (back[j] - gradient[j]);
    decrement -= gradient[j] * direction[j];
  }
  return decrement;
}

// With the multipliers of the slacks, and with those after one more Newton step: the slacks as they are carry
// the rounding of W, which is large beside a small one.
std::vector<Barrier::Pair> PrimalPowerBarrier::pairs(double tau, const std::vector<double>& x) {
  Pair plain{x, constraints_.values(x)};
  for (double& l : plain.multipliers) l = 1.0 / (tau * (l - 1.0));
  std::vector<double> direction;
  if (std::isnan(newton(tau, x, direction))) return {plain};
  Pair corrected = plain;
  const std::vector<double> change = constraints_.values(direction);
  for (std::size_t k = 0; k < change.size(); ++k) {
    double& l = corrected.multipliers[k];
    l = std::max(0.0, l * (1.0 - change[k] * tau * l));
  }
  return {plain, corrected};
}

}  // namespace softstep
