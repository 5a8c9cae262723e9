#include "core/max_margin/ascent/block_pivoting.h"

#include <algorithm>
#include <cmath>

namespace softstep {
namespace {

constexpr int most_faces = 30, most_without_gain = 3;
// A row of which less than this (squared, of a unit row) is new beside those before it is left out of the
// face: what the factor would say of it is mostly rounding.
constexpr double least_pivot = 1e-10;
// In units of the targets and of the largest multiplier: below this a bound counts as met.
constexpr double slack = 1e-11;

}  // namespace

BlockPivoting::BlockPivoting(std::vector<double> gram, std::vector<double> targets)
    : n_(targets.size()),
      gram_(std::move(gram)),
      targets_(std::move(targets)),
      multipliers_(n_, 0.0),
      gradient_(n_) {}

bool BlockPivoting::run() {
  for (std::size_t k = 0; k < n_; ++k)
    if (is_constraint(k)) face_.push_back(k);
  std::size_t fewest = n_ + 1;
  int without_gain = 0;
  std::vector<std::size_t> wrong;
  std::vector<char> in_face(n_);
  std::vector<double> x;
  for (int round = 0; round < most_faces; ++round) {
    factor();
    x.resize(face_.size());
    for (std::size_t a = 0; a < face_.size(); ++a) x[a] = targets_[face_[a]];
    solve(x);
    double largest = 0.0;
    for (const double l : x) largest = std::max(largest, std::fabs(l));
    if (!std::isfinite(largest)) return false;
    std::fill(multipliers_.begin(), multipliers_.end(), 0.0);
    std::fill(in_face.begin(), in_face.end(), 0);
    for (std::size_t k = 0; k < n_; ++k) gradient_[k] = -targets_[k];
    for (std::size_t a = 0; a < face_.size(); ++a) {
      multipliers_[face_[a]] = x[a];
      in_face[face_[a]] = 1;
      const double* row = gram_.data() + face_[a] * n_;
      for (std::size_t k = 0; k < n_; ++k) gradient_[k] += x[a] * row[k];
    }
    wrong.clear();
    for (std::size_t k = 0; k < n_; ++k)
      if (in_face[k] ? multipliers_[k] < -slack * largest
                     : is_constraint(k) && gradient_[k] < -slack * targets_[k])
        wrong.push_back(k);
    if (wrong.empty()) {
      for (double& l : multipliers_) l = std::max(l, 0.0);
      return true;
    }
    if (wrong.size() < fewest) {
      fewest = wrong.size();
      without_gain = 0;
    } else if (++without_gain > most_without_gain) {
      wrong.erase(wrong.begin(), wrong.end() - 1);
    }
    for (const std::size_t k : wrong) in_face[k] = !in_face[k];
    face_.clear();
    for (std::size_t k = 0; k < n_; ++k)
      if (in_face[k]) face_.push_back(k);
  }
  return false;
}

// Row by row, each subtracted from all below it: inner loops without a sum, which vectors can take.
void BlockPivoting::factor() {
  const std::size_t most = face_.size();
  factor_.resize(most * most);
  for (std::size_t a = 0; a < most; ++a)
    for (std::size_t b = a; b < most; ++b) factor_[a * most + b] = gram_[face_[a] * n_ + face_[b]];
  std::vector<std::size_t> kept;
  for (std::size_t a = 0; a < most; ++a) {
    double* row = factor_.data() + a * most;
    if (!(row[a] > least_pivot)) continue;
    kept.push_back(a);
    const double inverse = 1.0 / std::sqrt(row[a]);
    row[a] = inverse;
    for (std::size_t b = a + 1; b < most; ++b) row[b] *= inverse;
    for (std::size_t c = a + 1; c < most; ++c) {
      double* below = factor_.data() + c * most;
      const double factor = row[c];
      for (std::size_t b = c; b < most; ++b) below[b] -= factor * row[b];
    }
  }
  const std::size_t m = kept.size();
  if (m == most) return;
  for (std::size_t a = 0; a < m; ++a) {
    for (std::size_t b = a; b < m; ++b) factor_[a * m + b] = factor_[kept[a] * most + kept[b]];
    face_[a] = face_[kept[a]];
  }
  face_.resize(m);
}

// x <- (U^T U)^-1 x
void BlockPivoting::solve(std::vector<double>& x) const {
  const std::size_t m = face_.size();
  for (std::size_t a = 0; a < m; ++a) {
    const double* row = factor_.data() + a * m;
    x[a] *= row[a];
    for (std::size_t b = a + 1; b < m; ++b) x[b] -= row[b] * x[a];
  }
  for (std::size_t a = m; a-- > 0;) {
    const double* row = factor_.data() + a * m;
    double sum = x[a];
    for (std::size_t b = a + 1; b < m; ++b) sum -= row[b] * x[b];
    x[a] = sum * row[a];
  }
}

}  // namespace softstep
