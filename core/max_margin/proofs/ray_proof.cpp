#include "core/max_margin/proofs/ray_proof.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/max_margin/constraints/range.h"
#include "core/max_margin/proofs/exact_rank.h"
#include "softstep/metrics.h"

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>

namespace softstep {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double rounding_unit = 0.5 * std::numeric_limits<double>::epsilon();
// A row with a smaller share of the largest multiplier is left out: the others may do without it.
constexpr double counts_from = 1e-9;
constexpr Index most_rows = 1200, few_entries = 100,
                most_entries = 4096;          // decompositions take some ten times their cube
constexpr double most_multiplications = 2e9;  // of the exact rank: some seconds

// Factors of the unit row, each entry within 4 rounding units of a multiple of the exact one.
VectorXd unit(std::vector<double> x, const std::vector<double>& minus) {
  if (minus.empty()) {
    scale_towards_one(x.data(), x.size());
  } else {
    const std::vector<double> best = x;
    scaled_difference(best.data(), minus.data(), x);
  }
  const double norm = frobenius_norm(x);
  VectorXd out = Eigen::Map<const VectorXd>(x.data(), static_cast<Index>(x.size()));
  if (norm > 0.0) out /= norm;
  return out;
}

// The rows that count, and what is to become their exact ray.
class Support {
 public:
  struct Member {
    std::size_t index;
    bool is_free;
    double multiplier;
    ExactRow exact;
    VectorXd difference, query;
  };
  std::vector<Member> members;

  Index size() const { return static_cast<Index>(members.size()); }
  Index rows() const { return members.front().difference.size(); }
  Index cols() const { return members.front().query.size(); }

  // Leaves out what does not count and makes the sum of the multipliers 1.
  void trim() {
    double largest = 0.0, sum = 0.0;
    for (const Member& m : members) largest = std::max(largest, std::fabs(m.multiplier));
    std::erase_if(members, [&](const Member& m) {
      const double size = m.is_free ? std::fabs(m.multiplier) : m.multiplier;
      return !(size > counts_from * largest);
    });
    for (const Member& m : members) sum += std::fabs(m.multiplier);
    for (Member& m : members) m.multiplier /= sum;
  }
  bool has_bound() const {
    return std::any_of(members.begin(), members.end(), [](const Member& m) { return !m.is_free; });
  }
  double least() const {
    double out = std::numeric_limits<double>::infinity();
    for (const Member& m : members)
      if (!m.is_free) out = std::min(out, m.multiplier);
    return out;
  }

  // Leaves out the rows with no more than this; false if there are none, or no others.
  bool drop_below(double multiplier) {
    const std::size_t before = members.size();
    std::erase_if(members, [&](const Member& m) { return !m.is_free && !(m.multiplier > multiplier); });
    return members.size() < before && has_bound();
  }

  MatrixXd combination() const {
    MatrixXd out = MatrixXd::Zero(rows(), cols());
    for (const Member& m : members) out.noalias() += (m.multiplier * m.difference) * m.query.transpose();
    return out;
  }
  // The length of the combination of the exact rows, at most: `size` terms, each with its own few roundings,
  // and the sum of the multipliers is 1.
  double longest() const {
    return combination().norm() * (1.0 + 1e-10) + 2.0 * static_cast<double>(size() + 16) * rounding_unit;
  }
  VectorXd values(const MatrixXd& w) const {
    VectorXd out(size());
    for (Index k = 0; k < size(); ++k) out[k] = at(k).difference.dot(w * at(k).query);
    return out;
  }
  MatrixXd gram() const {
    MatrixXd d(rows(), size()), z(cols(), size());
    for (Index k = 0; k < size(); ++k) {
      d.col(k) = at(k).difference;
      z.col(k) = at(k).query;
    }
    return (d.transpose() * d).cwiseProduct(z.transpose() * z);
  }
  // sum_k a_k a_k^T of the rows as vectors.
  MatrixXd covariance() const {
    const Index entries = rows() * cols(), at_once = 512;
    MatrixXd out = MatrixXd::Zero(entries, entries), some(entries, at_once);
    for (Index first = 0; first < size(); first += at_once) {
      const Index count = std::min(at_once, size() - first);
      for (Index k = 0; k < count; ++k)
        Eigen::Map<MatrixXd>(some.col(k).data(), rows(), cols()) =
            at(first + k).difference * at(first + k).query.transpose();
      out.selfadjointView<Eigen::Lower>().rankUpdate(some.leftCols(count));
    }
    return out;
  }
  // Bound of what rounding does to an eigenvalue of the Gram matrix: its entries, of two sums each, and the
  // decomposition.
  double eigenvalue_error(double largest) const {
    const double m = static_cast<double>(size()), terms = static_cast<double>(rows() + cols() + 16);
    return (m * terms + 16.0 * m * largest) * 2.0 * rounding_unit;
  }
  // Rows of one sample span no more than the differences have coordinates.
  Index rank_by_shape() const {
    std::map<std::size_t, Index> of_sample;
    for (const Member& m : members) ++of_sample[m.exact.sample];
    Index sum = 0;
    for (const auto& [sample, count] : of_sample) sum += std::min(count, rows());
    return std::min(sum, rows() * cols());
  }
  void subtract(const VectorXd& change) {
    for (Index k = 0; k < size(); ++k) members[static_cast<std::size_t>(k)].multiplier -= change[k];
  }

 private:
  const Member& at(Index k) const { return members[static_cast<std::size_t>(k)]; }
};

// How many eigenvalues, smallest first, may be 0.
Index kernel_of(const VectorXd& eigenvalues, double error) {
  Index kernel = 0;
  while (kernel < eigenvalues.size() && !(eigenvalues[kernel] > 2.0 * error)) ++kernel;
  return kernel;
}

// Moves along kernel vectors of the Gram matrix until all but one of them is used up by rows whose
// multipliers reach 0.
void use_few_rows(Support& support, MatrixXd kernel) {
  for (Index c = kernel.cols() - 1; c > 0; --c) {
    // The row met first in either direction; free rows meet no bound.
    double least = std::numeric_limits<double>::infinity();
    Index leaving = -1;
    for (Index k = 0; k < support.size(); ++k) {
      const auto& m = support.members[static_cast<std::size_t>(k)];
      if (m.is_free || !(m.multiplier > 0.0) || kernel(k, c) == 0.0) continue;
      const double length = m.multiplier / kernel(k, c);
      if (std::fabs(length) < std::fabs(least)) {
        least = length;
        leaving = k;
      }
    }
    if (leaving < 0) continue;
    support.subtract(least * kernel.col(c));
    support.members[static_cast<std::size_t>(leaving)].multiplier = 0.0;
    for (Index other = 0; other < c; ++other)
      kernel.col(other) -= kernel(leaving, other) / kernel(leaving, c) * kernel.col(c);
  }
}

// Rows of full rank, more than W has entries: no exact rank is needed. The Cholesky factor of the covariance
// less a multiple of the identity shows that no eigenvalue is below that multiple.
bool proven_by_full_rank(Support& support, const std::function<bool()>& go_on) {
  const Index entries = support.rows() * support.cols();
  for (int round = 0; round < 10 && go_on(); ++round) {
    support.trim();
    if (support.size() < entries || !support.has_bound()) return false;
    const MatrixXd covariance = support.covariance();
    const double trace = covariance.trace(), n = static_cast<double>(entries);
    const double error = 2.0 * (n + static_cast<double>(support.size()) + 16.0) * rounding_unit * trace;
    double shift = 0.1 * trace / n;
    Eigen::LLT<MatrixXd> factor;
    for (; shift > 2.0 * error; shift *= 0.1) {
      factor.compute(covariance - shift * MatrixXd::Identity(entries, entries));
      if (factor.info() == Eigen::Success) break;
    }
    if (!(shift > 2.0 * error)) return false;
    const double sigma = std::sqrt(shift - error);
    factor.compute(covariance);
    if (factor.info() != Eigen::Success) return false;
    for (int pass = 0; pass < 3; ++pass) {
      const MatrixXd w = support.combination();
      const VectorXd x = factor.solve(Eigen::Map<const VectorXd>(w.data(), entries));
      support.subtract(support.values(Eigen::Map<const MatrixXd>(x.data(), support.rows(), support.cols())));
    }
    const double needed = support.longest() / sigma;
    if (needed < support.least()) return true;
    if (!support.drop_below(2.0 * needed)) return false;
  }
  return false;
}

bool proven_by_gram(Support& support, const std::function<bool()>& go_on) {
  for (int round = 0; round < 30 && go_on(); ++round) {
    support.trim();
    if (support.size() == 0 || !support.has_bound() || support.size() > most_rows) return false;
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(support.gram());
    const VectorXd& values = solver.eigenvalues();
    const double error = support.eigenvalue_error(values[values.size() - 1]);
    const Index kernel = kernel_of(values, error);
    if (kernel == 0) return false;  // independent rows
    const Index rank = values.size() - kernel;
    const auto spanning = solver.eigenvectors().rightCols(rank);
    for (int pass = 0; pass < 3; ++pass) {
      const VectorXd along = spanning.transpose() * support.values(support.combination());
      support.subtract(spanning * along.cwiseQuotient(values.tail(rank)));
    }
    const Index before = support.size();
    support.trim();
    if (support.size() < before) continue;
    if (kernel > 1) {
      use_few_rows(support, solver.eigenvectors().leftCols(kernel));
      support.trim();
      if (support.size() < before) continue;
    }
    if (rank == 0) return false;
    const double sigma = std::sqrt(values[kernel] - error);
    const double needed = support.longest() / sigma;
    if (!(needed < support.least())) {
      if (!support.drop_below(2.0 * needed)) return false;
      continue;
    }
    if (rank >= support.rank_by_shape()) return true;
    std::vector<ExactRow> exact;
    for (const auto& m : support.members) exact.push_back(m.exact);
    return rank_is_at_most(exact, static_cast<std::size_t>(rank), most_multiplications, go_on);
  }
  return false;
}

// Where there are more rows than the Gram matrix may have, some at a time: what is left of them is
// independent but for one combination.
void thin_out(Support& support, Index chunk, const std::function<bool()>& go_on) {
  for (Index first = 0; support.size() > chunk && first + chunk <= support.size() && go_on();) {
    Support part;
    const auto begin = support.members.begin() + first;
    part.members.assign(begin, begin + chunk);
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(part.gram());
    const VectorXd& values = solver.eigenvalues();
    const Index kernel = kernel_of(values, part.eigenvalue_error(values[chunk - 1]));
    if (kernel > 1) use_few_rows(part, solver.eigenvectors().leftCols(kernel));
    std::copy(part.members.begin(), part.members.end(), begin);
    const Index before = support.size();
    support.trim();
    if (support.size() == before) first += chunk;
  }
}

}  // namespace

bool RayProof::proves(std::vector<double>& multipliers, std::vector<double>& free,
                      const std::function<bool()>& go_on) const {
  Support support;
  const auto add = [&](const std::vector<double>& from, const ExactRows& rows, bool is_free) {
    double largest = 0.0;
    for (const double l : from) largest = std::max(largest, std::fabs(l));
    for (std::size_t k = 0; k < from.size(); ++k) {
      if (!(std::fabs(from[k]) > counts_from * largest) || (!is_free && from[k] < 0.0)) continue;
      ExactRow exact = rows(k);
      VectorXd difference = unit(exact.best, exact.other), query = unit(exact.query, {});
      support.members.push_back(
          {k, is_free, from[k], std::move(exact), std::move(difference), std::move(query)});
    }
  };
  add(multipliers, rows_, false);
  add(free, free_rows_, true);
  if (support.members.empty()) return false;
  const Index entries = support.rows() * support.cols();
  bool proven = support.size() > entries && entries <= most_entries && proven_by_full_rank(support, go_on);
  if (!proven && (support.size() <= most_rows || entries <= few_entries)) {
    if (support.size() > most_rows) thin_out(support, 4 * few_entries, go_on);
    proven = proven_by_gram(support, go_on);
  }
  if (!proven) return false;
  // As large together as before.
  double before = 0.0, after = 0.0;
  for (const double l : multipliers) before += l;
  for (const auto& m : support.members) after += m.is_free ? 0.0 : m.multiplier;
  std::fill(multipliers.begin(), multipliers.end(), 0.0);
  std::fill(free.begin(), free.end(), 0.0);
  for (const auto& m : support.members)
    (m.is_free ? free : multipliers)[m.index] = m.multiplier * (before / after);
  return true;
}

}  // namespace softstep
