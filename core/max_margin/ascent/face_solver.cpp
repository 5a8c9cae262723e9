#include "core/max_margin/ascent/face_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/linalg/eigen_inside.h"

// after eigen_inside.h
#include <Eigen/Core>
#include <Eigen/Jacobi>

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr Eigen::Index most_entries = Eigen::Index{1} << 25;  // of the orthogonal factor: 256 MB
constexpr double tell_after = 1e8;                            // multiply-adds
constexpr int most_failures = 40;                             // exchanges in a row that gain nothing

}  // namespace

// The rows of the face as columns of Q R: Q orthonormal, R upper triangular.
class FaceSolver::Factor {
 public:
  explicit Factor(std::size_t span_size)
      : span_(static_cast<Eigen::Index>(span_size)),
        noise_(8.0 * epsilon * std::sqrt(static_cast<double>(span_size))) {}

  void clear() { size_ = 0; }
  Eigen::Index size() const { return size_; }
  /// Whether one more column would fit in memory; makes room for it.
  bool make_room() {
    if (size_ < q_.cols()) return true;
    if (size_ >= span_) return true;  // a further row depends on the others
    const Eigen::Index columns = std::min(span_, std::max<Eigen::Index>(16, 2 * size_));
    if (columns > most_entries / span_ || columns > most_entries / columns) return false;
    q_.conservativeResize(span_, columns);
    r_.conservativeResize(columns, columns);
    return true;
  }

  /// Splits a row into its part along Q and the rest. False: it depends on the face, and the rest is
  /// rounding.
  bool split(const Eigen::VectorXd& row) {
    rest_ = row;
    along_.setZero(size_);
    for (int pass = 0; pass < 2; ++pass) {
      const Eigen::VectorXd part = q().transpose() * rest_;
      rest_.noalias() -= q() * part;
      along_ += part;
    }
    length_ = rest_.norm();
    return size_ < span_ && length_ > noise_;
  }
  const Eigen::VectorXd& rest() const { return rest_; }
  double length() const { return length_; }
  /// Coefficients of the row last split in the rows of the face.
  Eigen::VectorXd coefficients() const { return r().solve(along_); }

  /// Takes the row last split in.
  void append() {
    Eigen::VectorXd unit = rest_ / length_;
    unit.noalias() -= q() * (q().transpose() * unit).eval();  // the stretched rest is not yet orthogonal
    q_.col(size_) = unit / unit.norm();
    r_.col(size_).head(size_) = along_;
    r_.row(size_).head(size_).setZero();
    r_(size_, size_) = length_;
    ++size_;
  }

  void remove(Eigen::Index column) {
    for (Eigen::Index c = column; c + 1 < size_; ++c) r_.col(c).head(size_) = r_.col(c + 1).head(size_);
    --size_;
    for (Eigen::Index c = column; c < size_; ++c) {
      Eigen::JacobiRotation<double> rotation;
      rotation.makeGivens(r_(c, c), r_(c + 1, c));
      r_.middleCols(c, size_ - c).applyOnTheLeft(c, c + 1, rotation.adjoint());
      q_.applyOnTheRight(c, c + 1, rotation);
      r_(c + 1, c) = 0.0;
    }
  }

  /// The shortest W with <a_k, W> = target_k on the face, and its multipliers.
  // By value, and overwritten: solveInPlace() takes what it changes as const.
  // NOLINTNEXTLINE(performance-unnecessary-value-param)
  void solve(Eigen::VectorXd targets, Eigen::VectorXd& w, Eigen::VectorXd& multipliers) const {
    r_.topLeftCorner(size_, size_).triangularView<Eigen::Upper>().transpose().solveInPlace(targets);
    w = q() * targets;
    multipliers = r().solve(targets);
  }

 private:
  Eigen::Ref<const Eigen::MatrixXd> q() const { return q_.leftCols(size_); }
  Eigen::TriangularView<const Eigen::Block<const Eigen::MatrixXd>, Eigen::Upper> r() const {
    return r_.topLeftCorner(size_, size_).triangularView<Eigen::Upper>();
  }

  Eigen::Index span_, size_ = 0;
  double noise_, length_ = 0.0;
  Eigen::MatrixXd q_, r_;
  Eigen::VectorXd rest_, along_;
};

FaceSolver::FaceSolver(LinearMap& map) : map_(map), factor_(std::make_unique<Factor>(map.span_size())) {}
FaceSolver::~FaceSolver() = default;

double FaceSolver::face_cost() const {
  return static_cast<double>(map_.span_size()) * static_cast<double>(face_.size() + 1);
}

bool FaceSolver::spend(double work) {
  work_ += work;
  if (work_ - told_ > tell_after) {
    told_ = work_;
    stopped_ = stopped_ || !go_on_(false);
  }
  return !stopped_ && work_ <= budget_;
}

// W and the multipliers of the face, afresh from the factorisation.
void FaceSolver::solve_face() {
  const auto n = static_cast<Eigen::Index>(face_.size());
  Eigen::VectorXd right(n), w, multipliers;
  for (Eigen::Index j = 0; j < n; ++j) right[j] = targets_[face_[static_cast<std::size_t>(j)]];
  factor_->solve(std::move(right), w, multipliers);
  span_.assign(w.data(), w.data() + w.size());
  face_multipliers_.assign(multipliers.data(), multipliers.data() + n);
}

// Until the multipliers are those of a dual point. Ends: each round takes a row out.
void FaceSolver::drop_negative() {
  for (;;) {
    solve_face();
    const auto least = std::min_element(face_multipliers_.begin(), face_multipliers_.end());
    if (least == face_multipliers_.end() || *least >= 0.0) return;
    const auto place = least - face_multipliers_.begin();
    factor_->remove(place);
    on_face_[face_[static_cast<std::size_t>(place)]] = 0;
    face_.erase(face_.begin() + place);
    if (!spend(4.0 * face_cost())) return;
  }
}

// The rows with positive multipliers, the largest first, as far as they are independent.
bool FaceSolver::start(const std::vector<double>& multipliers) {
  factor_->clear();
  face_.clear();
  on_face_.assign(map_.n_rows(), 0);
  span_.assign(map_.span_size(), 0.0);
  values_.resize(map_.n_rows());
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < multipliers.size(); ++k)
    if (multipliers[k] > 0.0 && targets_[k] > 0.0) order.push_back(k);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return multipliers[a] > multipliers[b]; });
  Eigen::VectorXd row(static_cast<Eigen::Index>(map_.span_size()));
  for (const std::size_t k : order) {
    if (face_.size() == map_.span_size()) break;
    if (!factor_->make_room() || !spend(6.0 * face_cost())) return false;
    map_.unit_row(k, row.data());
    if (!factor_->split(row)) continue;
    factor_->append();
    face_.push_back(k);
    on_face_[k] = 1;
  }
  drop_negative();
  return !stopped_ && work_ <= budget_;
}

// The row that W violates most, by more than the tolerance of its target and by more than rounding; n_rows()
// if none.
std::size_t FaceSolver::most_violated(double tolerance) {
  map_.apply(span_.data(), values_.data());
  stopped_ = stopped_ || !go_on_(true);
  const double rounding = 4.0 * epsilon * std::sqrt(map_.squared_norm(span_.data()));
  std::size_t worst = map_.n_rows();
  double most = 0.0;
  for (std::size_t k = 0; k < map_.n_rows(); ++k) {
    if (on_face_[k] || !(targets_[k] > 0.0)) continue;
    const double violation = targets_[k] - values_[k];
    if (violation > most && violation > std::max(tolerance * targets_[k], rounding)) {
      most = violation;
      worst = k;
    }
  }
  return worst;
}

// Raises the multiplier of a violated row until W meets it; rows whose multipliers reach 0 on the way leave
// the face.
FaceSolver::Entry FaceSolver::enter(std::size_t row) {
  Eigen::VectorXd entering(static_cast<Eigen::Index>(map_.span_size()));
  map_.unit_row(row, entering.data());
  Eigen::Map<Eigen::VectorXd> w(span_.data(), static_cast<Eigen::Index>(span_.size()));
  for (;;) {
    if (!factor_->make_room() || !spend(10.0 * face_cost())) return Entry::over_budget;
    const bool independent = factor_->split(entering);
    const Eigen::VectorXd fall = factor_->coefficients();
    // A coefficient of the size of rounding is none.
    const double counts =
        independent || fall.size() == 0 ? 0.0 : 1e-11 * std::max(1.0, fall.cwiseAbs().maxCoeff());
    double to_bound = infinity;
    std::size_t leaving = face_.size();
    for (std::size_t j = 0; j < face_.size(); ++j) {
      const double f = fall[static_cast<Eigen::Index>(j)];
      if (!(f > counts) || face_multipliers_[j] / f >= to_bound) continue;
      to_bound = face_multipliers_[j] / f;
      leaving = j;
    }
    const double missing = targets_[row] - entering.dot(w);
    const double to_target =
        independent ? std::max(0.0, missing) / (factor_->length() * factor_->length()) : infinity;
    if (std::isinf(to_target) && std::isinf(to_bound)) {
      multipliers_.assign(map_.n_rows(), 0.0);
      multipliers_[row] = 1.0;
      for (std::size_t j = 0; j < face_.size(); ++j) {
        const double mu = -fall[static_cast<Eigen::Index>(j)];
        multipliers_[face_[j]] = mu > counts ? mu : 0.0;
      }
      return Entry::infeasible;
    }
    const double step = std::min(to_bound, to_target);
    for (std::size_t j = 0; j < face_.size(); ++j)
      face_multipliers_[j] = std::max(0.0, face_multipliers_[j] - step * fall[static_cast<Eigen::Index>(j)]);
    if (independent) w += step * factor_->rest();
    if (to_target <= to_bound) {
      factor_->append();
      face_.push_back(row);
      on_face_[row] = 1;
      drop_negative();
      return Entry::entered;
    }
    factor_->remove(static_cast<Eigen::Index>(leaving));
    on_face_[face_[leaving]] = 0;
    face_.erase(face_.begin() + static_cast<std::ptrdiff_t>(leaving));
    face_multipliers_.erase(face_multipliers_.begin() + static_cast<std::ptrdiff_t>(leaving));
  }
}

// What the map says of W is corrected on the face, where rounding has left some of it.
void FaceSolver::refine() {
  const auto n = static_cast<Eigen::Index>(face_.size());
  Eigen::Map<Eigen::VectorXd> w(span_.data(), static_cast<Eigen::Index>(span_.size()));
  for (int pass = 0; pass < 2; ++pass) {
    map_.apply(span_.data(), values_.data());
    Eigen::VectorXd missing(n), change, multipliers;
    for (Eigen::Index j = 0; j < n; ++j) {
      const std::size_t k = face_[static_cast<std::size_t>(j)];
      missing[j] = targets_[k] - values_[k];
    }
    factor_->solve(std::move(missing), change, multipliers);
    w += change;
  }
}

FaceSolver::Ending FaceSolver::finished(Ending ending) {
  multipliers_.assign(map_.n_rows(), 0.0);
  for (std::size_t j = 0; j < face_.size(); ++j) multipliers_[face_[j]] = face_multipliers_[j];
  refine();
  return ending;
}

FaceSolver::Ending FaceSolver::run(const std::vector<double>& multipliers, const std::vector<double>& targets,
                                   double tolerance, double budget, const GoOn& go_on) {
  targets_ = targets;
  budget_ = budget;
  go_on_ = go_on;
  work_ = told_ = 0.0;
  stopped_ = false;
  if (!start(multipliers)) return Ending::gave_up;
  double best = 0.0;
  int failures = 0;
  for (;;) {
    const double value = map_.squared_norm(span_.data());
    if (!std::isfinite(value)) return Ending::gave_up;
    failures = value > best * (1.0 + 2.0 * epsilon) ? 0 : failures + 1;
    best = std::max(best, value);
    const std::size_t row = most_violated(tolerance);
    if (stopped_) return Ending::gave_up;
    if (row == map_.n_rows()) return finished(Ending::solved);
    if (failures > most_failures) return finished(Ending::stalled);
    if (!spend(map_.product_cost())) return Ending::gave_up;
    const Entry entry = enter(row);
    if (entry == Entry::over_budget) return Ending::gave_up;
    if (entry == Entry::infeasible) return Ending::infeasible;
  }
}

}  // namespace softstep
