#include "core/max_margin/hard_margin.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/text.h"
#include "core/max_margin/ascent/block_pivoting.h"
#include "core/max_margin/ascent/dual_ascent.h"
#include "core/max_margin/ascent/face_solver.h"
#include "core/max_margin/proofs/certificate.h"
#include "core/max_margin/proofs/ray_search.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
// A convex combination of unit constraint rows that is as short as this is a few hundred rounding units long:
// it may be a ray that proves that the data cannot be separated, or bound a margin too small for double. Its
// judge decides.
constexpr double ray_from = 1e-13;
// Multiply-adds of the exact method that nobody notices: some hundredths of a second.
constexpr double least_budget = 1e8;

/// Detects that rounding, and not the iteration, keeps the certificate from the tolerance. <a_k, W> is known
/// to some rounding units of ||W|| only. Where the sizes of the rows differ by orders of magnitude, that is
/// more than the tolerance of the largest rows. Their targets are then raised by a slack of so many rounding
/// units, which costs next to nothing and makes them feasible in spite of rounding.
class RoundingFloor {
 public:
  /// True when the certificate, computed afresh, has failed to halve for the third time since its best.
  bool stuck(double error) {
    if (error <= 0.5 * best_) {
      best_ = error;
      failures_ = 0;
    }
    return ++failures_ > 3;
  }
  /// True when the running error is small and has not halved for 500 steps.
  bool stalled(double error) {
    if (error <= 0.5 * best_running_ || !(error <= 1e-3)) {
      best_running_ = error;
      steps_ = 0;
    }
    return ++steps_ % 500 == 0;
  }
  /// Raises the slack; false when it is so large that it would spoil the answer.
  bool widen() {
    units_ = units_ == 0.0 ? 8.0 : 8.0 * units_;
    best_ = best_running_ = infinity;
    failures_ = steps_ = 0;
    return units_ <= 512.0;
  }
  double slack() const { return units_ * std::numeric_limits<double>::epsilon(); }

 private:
  double units_ = 0.0, best_ = infinity, best_running_ = infinity;
  int failures_ = 0, steps_ = 0;
};

class Solver {
 public:
  Solver(ConstraintMap& rows, std::size_t n_constraints, const MaxMarginOptions& options, int n_threads,
         const RayJudge& judge)
      : options_(options), rows_(rows), judge_(judge), ray_(rows_), face_(rows_), n_threads_(n_threads) {
    result_.n_constraints = n_constraints;
  }

  MaxMarginResult run() {
    if (result_.n_constraints == 0) return no_constraints();
    if (rows_.zero_row() != rows_.n_rows()) return impossible_row();
    if (solve_few()) return std::move(result_);
    DualAscent ascent(rows_, targets(), n_threads_);
    result_.status = ascend(ascent);
    if (result_.status == MaxMarginStatus::not_separable || result_.status == MaxMarginStatus::undecided)
      write_ray();
    else if (result_.status != MaxMarginStatus::optimal)
      write_unfinished(ascent);
    return std::move(result_);
  }

 private:
  std::vector<double> targets(double slack = 0.0, const DualState* state = nullptr) const;
  bool solve_few();
  MaxMarginStatus ascend(DualAscent& ascent);
  Certificate estimate(const DualState& state);
  bool near_zero(const DualAscent& ascent) const;
  Certificate write(const DualState& state);
  void write_unfinished(DualAscent& ascent);
  enum class Ray { none, proven, undecided };
  Ray find_ray(const std::vector<double>& multipliers);
  MaxMarginStatus end_with_ray(Ray ray, const DualState& state);
  bool finish(const DualState& state, MaxMarginStatus& status);
  bool explained_by_rounding(double error) const;
  bool ask() const;
  bool swept();
  void write_ray();
  MaxMarginResult no_constraints();
  MaxMarginResult impossible_row();

  const MaxMarginOptions& options_;
  ConstraintMap& rows_;
  const RayJudge& judge_;
  RaySearch ray_;
  FaceSolver face_;
  int n_threads_;
  std::vector<double> values_, ray_multipliers_;
  MaxMarginResult result_;
  Certificate now_;  // what is known of the ascent's point
  bool has_weights_ = false, interrupted_ = false;
  std::size_t next_ray_search_ = 64, next_finish_ = 256;
  bool exact_is_not_enough_ = false;  // the exact method has ended, and rounding exceeds the tolerance
};

// The targets 1 / ||A_k|| of <a_k, W>, raised by slack ||W||. A constraint with a negligible multiplier gets
// all of that, which costs nothing. The others get no more than the tolerance allows.
std::vector<double> Solver::targets(double slack, const DualState* state) const {
  const std::vector<double>& sizes = rows_.sizes();
  std::vector<double> out(rows_.n_rows(), 0.0);
  for (std::size_t k = 0; k < out.size(); ++k)
    if (sizes[k] > 0.0) out[k] = 1.0 / sizes[k];
  if (state == nullptr) return out;
  const double wanted = slack * std::sqrt(state->squared_norm());
  double largest = 0.0;
  for (std::size_t k = 0; k < out.size(); ++k) largest = std::max(largest, state->multipliers[k] * out[k]);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const bool counts = state->multipliers[k] * out[k] > 0.1 * options_.tolerance * largest;
    out[k] += counts ? std::min(wanted, 0.25 * options_.tolerance * out[k]) : sizes[k] > 0.0 ? wanted : 0.0;
  }
  return out;
}

// Few rows: by pivoting in their Gram matrix. Where the certificate is not within the tolerance, nothing has
// been lost but that. False: not solved, and not interrupted.
bool Solver::solve_few() {
  if (rows_.n_rows() > options_.max_gram_rows) return false;
  std::vector<double> gram = rows_.gram();
  if (gram.empty()) return false;
  BlockPivoting pivoting(std::move(gram), targets());
  if (!pivoting.run()) return false;
  DualState state(rows_, targets());
  state.multipliers = pivoting.multipliers();
  state.refresh();
  now_ = write(state);
  const bool goes_on = swept();
  result_.status = goes_on ? MaxMarginStatus::optimal : MaxMarginStatus::interrupted;
  return !goes_on || now_.within(options_.tolerance);
}

// From the running gradient: costs no product.
Certificate Solver::estimate(const DualState& state) {
  values_ = state.gradient;
  for (std::size_t k = 0; k < values_.size(); ++k) values_[k] += state.targets[k];
  const double squared = state.squared_norm();
  return measure(state.multipliers, rows_.sizes(), values_, squared, squared);
}

bool Solver::near_zero(const DualAscent& ascent) const {
  const DualState& state = ascent.state();
  return combination_length(state.multipliers, state.squared_norm()) <= ray_from;
}

MaxMarginStatus Solver::ascend(DualAscent& ascent) {
  const double tolerance = options_.tolerance;
  const DualState& state = ascent.state();
  double inner = 0.5 * tolerance;
  RoundingFloor rounding;
  Certificate& now = now_;
  now.duality_gap = now.kkt_residual = infinity;
  const auto report = [&] {
    if (state.feasible()) now = estimate(state);
    return swept();
  };
  while (result_.sweeps < options_.max_sweeps) {
    ascent.step();
    if (!report()) return MaxMarginStatus::interrupted;
    if (!state.feasible()) continue;
    if (now.duality_gap == infinity && result_.sweeps >= next_ray_search_) {
      const Ray ray = find_ray(state.multipliers);
      if (interrupted_) return MaxMarginStatus::interrupted;
      if (ray != Ray::none) return end_with_ray(ray, state);
      next_ray_search_ = 2 * result_.sweeps;
    }
    MaxMarginStatus finished;
    if (result_.sweeps >= next_finish_ && finish(state, finished)) return finished;
    if (interrupted_) return MaxMarginStatus::interrupted;
    if (result_.sweeps >= options_.max_sweeps) break;
    const bool suspect = ascent.unbounded() || near_zero(ascent);
    const bool stalled = rounding.stalled(now.error());
    if (!suspect && !stalled && !now.within(inner)) continue;
    // The recurrences alone are not trusted: the error counts once it has been computed afresh.
    if (result_.sweeps == options_.max_sweeps) break;
    ascent.refresh();
    if (!report()) return MaxMarginStatus::interrupted;
    if (suspect) {
      const Ray ray = near_zero(ascent) ? find_ray(state.multipliers) : Ray::none;
      if (interrupted_) return MaxMarginStatus::interrupted;
      if (ray != Ray::none) return end_with_ray(ray, state);
      continue;
    }
    now = write(state);
    if (now.within(tolerance)) return MaxMarginStatus::optimal;
    inner *= 0.5;
    if (!rounding.stuck(now.error())) continue;
    if (!rounding.widen()) {
      if (exact_is_not_enough_ || explained_by_rounding(now.error())) return MaxMarginStatus::at_rounding;
      rounding = RoundingFloor{};  // slow, not done
      continue;
    }
    ascent.set_targets(targets(rounding.slack(), &state));
    inner = 0.5 * tolerance;
  }
  return MaxMarginStatus::max_sweeps;
}

// What the callback says.
bool Solver::ask() const {
  return !options_.progress || options_.progress(result_.sweeps, now_.duality_gap, now_.kkt_residual);
}

// Counts a sweep and tells of it; false: stop.
bool Solver::swept() {
  ++result_.sweeps;
  interrupted_ = !ask();
  return !interrupted_;
}

// An ascent that takes long has met rows that nearly depend on each other. The exact method may take as much
// work as the ascent has taken; where that does not do, the ascent goes on as if nothing had been, until it
// has taken twice as much.
bool Solver::finish(const DualState& state, MaxMarginStatus& status) {
  next_finish_ = 2 * result_.sweeps;
  const double budget = std::max(least_budget, static_cast<double>(result_.sweeps) * rows_.product_cost());
  RoundingFloor rounding;
  DualState face(rows_, targets());
  face.multipliers = state.multipliers;
  const auto go_on = [&](bool product) {
    if (product) return swept() && result_.sweeps < options_.max_sweeps;
    interrupted_ = !ask();
    return !interrupted_;
  };
  for (;;) {
    const FaceSolver::Ending ending =
        face_.run(face.multipliers, face.targets, 0.1 * options_.tolerance, budget, go_on);
    if (ending == FaceSolver::Ending::gave_up) return false;
    if (ending == FaceSolver::Ending::infeasible) {
      if (find_ray(face_.multipliers()) != Ray::proven) return false;
      status = MaxMarginStatus::not_separable;
      return true;
    }
    face.multipliers = face_.multipliers();
    face.span = face_.span();
    face.refresh();
    if (write(face).within(options_.tolerance)) {
      status = MaxMarginStatus::optimal;
      return true;
    }
    if (!rounding.widen()) {
      exact_is_not_enough_ = true;
      return false;
    }
    face.targets = targets(rounding.slack(), &face);
  }
}

// <a_k, W> is a sum of products, each known to half a rounding unit of ||W||, and counts by its size. The
// factor leaves room for the longest sums; an error above it has another cause.
bool Solver::explained_by_rounding(double error) const {
  double longest = 0.0;
  for (const double size : rows_.sizes()) longest = std::max(longest, size);
  const double norm = std::ldexp(result_.norm, rows_.exponent());
  return error <= 1e3 * std::numeric_limits<double>::epsilon() * longest * norm;
}

// As many products at most as the ascent itself has made, so that data which can be separated cost no more
// than twice.
Solver::Ray Solver::find_ray(const std::vector<double>& multipliers) {
  const auto go_on = [&] { return swept() && result_.sweeps < options_.max_sweeps; };
  if (!ray_.run(multipliers, ray_from, std::max<std::size_t>(result_.sweeps, 50), go_on)) return Ray::none;
  ray_multipliers_ = ray_.multipliers();
  const bool proven = judge_(ray_multipliers_, [&] { return !(interrupted_ = !ask()); });
  return proven ? Ray::proven : interrupted_ ? Ray::none : Ray::undecided;
}

// Where the shortest combination proves nothing, the exact method may still find W. Its multipliers are of no
// use to the other ending if it does not.
MaxMarginStatus Solver::end_with_ray(Ray ray, const DualState& state) {
  if (ray == Ray::proven) return MaxMarginStatus::not_separable;
  const std::vector<double> shortest = ray_multipliers_;
  DualState start = state;
  for (double& l : start.multipliers) l = std::max(0.0, l);
  MaxMarginStatus finished = MaxMarginStatus::undecided;
  if (finish(start, finished)) return finished;
  if (interrupted_) return MaxMarginStatus::interrupted;
  ray_multipliers_ = shortest;
  return MaxMarginStatus::undecided;
}

// The answer with its certificate, computed from the matrix itself; kept if no better one was.
Certificate Solver::write(const DualState& state) {
  const std::vector<double>& sizes = rows_.sizes();
  std::vector<double> weights = rows_.matrix(state.span.data());
  values_.resize(rows_.n_rows());
  rows_.apply_matrix(weights.data(), values_.data());
  const double norm = frobenius_norm(weights);
  const Certificate certificate =
      measure(state.multipliers, sizes, values_, norm * norm, state.combination_squared);
  if (has_weights_ && !(certificate.error() < std::max(result_.duality_gap, result_.kkt_residual)))
    return certificate;
  has_weights_ = true;
  result_.duality_gap = certificate.duality_gap;
  result_.kkt_residual = certificate.kkt_residual;
  // The sizes are in units of 2^exponent; W in units of its inverse, lambda of its inverse square.
  const double unit = std::ldexp(1.0, -rows_.exponent());
  const double feasible = certificate.smallest > 0.0 ? certificate.smallest : 1.0;
  const double scale = certificate.factor / feasible * unit;
  result_.weights = std::move(weights);
  for (double& w : result_.weights) w *= scale;
  result_.norm = norm * scale;
  result_.margin = certificate.smallest / feasible / result_.norm;
  if (norm > 0.0 && !std::isnormal(result_.norm * result_.norm))
    throw InvalidArgument("tokens", "their lengths leave the range of double: ||W_mm|| would be " +
                                        data::number_text(result_.norm));
  result_.multipliers.assign(rows_.n_rows(), 0.0);
  double largest = 0.0;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    if (!(sizes[k] > 0.0)) continue;
    result_.multipliers[k] = state.multipliers[k] / sizes[k] * scale * unit;
    largest = std::max(largest, result_.multipliers[k]);
  }
  result_.n_support = 0;
  for (const double l : result_.multipliers) result_.n_support += l > 1e-9 * largest;
  return certificate;
}

// Stopped on the way: the best that is known.
void Solver::write_unfinished(DualAscent& ascent) {
  ascent.make_feasible();
  write(ascent.state());
}

// No W: the multipliers, with sum 1, are the proof, or bound the margin.
void Solver::write_ray() {
  const std::vector<double>& multipliers = ray_multipliers_;
  std::vector<double> span(rows_.span_size());
  rows_.adjoint(multipliers.data(), span.data());
  double sum = 0.0, largest = 0.0;
  result_.multipliers.assign(multipliers.size(), 0.0);
  for (std::size_t k = 0; k < multipliers.size(); ++k) {
    if (!(rows_.sizes()[k] > 0.0)) continue;
    result_.multipliers[k] = multipliers[k] / rows_.sizes()[k];
    sum += result_.multipliers[k];
    largest = std::max(largest, rows_.sizes()[k]);
  }
  result_.certificate = std::sqrt(rows_.squared_norm(span.data())) / sum / largest;
  for (double& l : result_.multipliers) l /= sum;
  result_.weights.clear();  // those of an attempt
  result_.norm = result_.duality_gap = result_.kkt_residual = infinity;
  result_.margin = 0.0;
}

MaxMarginResult Solver::no_constraints() {
  result_.status = MaxMarginStatus::no_constraints;
  result_.weights.assign(rows_.matrix_size(), 0.0);
  result_.multipliers.assign(rows_.n_rows(), 0.0);
  result_.margin = infinity;
  return std::move(result_);
}

MaxMarginResult Solver::impossible_row() {
  result_.status = MaxMarginStatus::not_separable;
  result_.multipliers.assign(rows_.n_rows(), 0.0);
  result_.multipliers[rows_.zero_row()] = 1.0;
  result_.norm = result_.duality_gap = result_.kkt_residual = infinity;
  return std::move(result_);
}

}  // namespace

MaxMarginResult solve_hard_margin(ConstraintMap& rows, std::size_t n_constraints,
                                  const MaxMarginOptions& options, int n_threads, const RayJudge& judge) {
  return Solver(rows, n_constraints, options, n_threads, judge).run();
}

}  // namespace softstep
