// The max-margin problem in other norms than Frobenius', by an interior-point method for each, with one
// certificate for all: by duality
//   min { ||W|| : <A_k, W> >= 1 } = max { sum lambda : lambda >= 0, ||sum_k lambda_k A_k||_* <= 1 },
// so that any W with positive margins and any lambda >= 0 bound the answer from both sides.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "core/data/text.h"
#include "core/max_margin/constraints/chosen_tokens.h"
#include "core/max_margin/constraints/range.h"
#include "core/max_margin/constraints/rank_one_constraints.h"
#include "core/max_margin/norms/l_p_barrier.h"
#include "core/max_margin/norms/nuclear_barrier.h"
#include "softstep/max_margin.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// A norm of d x d matrices; p is that of l_p.
struct Norm {
  MatrixNorm kind;
  double p;
  std::size_t d;
  double of(const std::vector<double>& w) const { return matrix_norm(w, d, d, kind, p); }
  double dual(const std::vector<double>& c) const {
    switch (kind) {
      case MatrixNorm::nuclear:
        return matrix_norm(c, d, d, MatrixNorm::spectral);
      case MatrixNorm::l_p:
        return matrix_norm(c, d, d, MatrixNorm::l_p, p / (p - 1.0));
      default:
        return frobenius_norm(c);
    }
  }
};

/// What a pair says of the smallest norm: primal above, dual below it.
struct Bounds {
  std::vector<double> values;  // <A_k, W>
  double smallest, norm, length, primal, dual;
  /// Infinite where the numbers bound nothing: a margin that is not positive, a combination or a norm that
  /// has left the range of double, or NaN.
  double gap() const {
    if (!std::isnormal(primal) || !std::isfinite(dual)) return infinity;
    return std::max(0.0, (primal - dual) / primal);
  }
};

Bounds bounds_of(const RankOneConstraints& constraints, const Barrier::Pair& pair,
                 const std::vector<double>& combination, const Norm& norm) {
  Bounds out;
  out.values = constraints.values(pair.weights);
  out.smallest = *std::min_element(out.values.begin(), out.values.end());
  out.norm = norm.of(pair.weights);
  out.length = norm.dual(combination);
  double sum = 0.0;
  for (const double l : pair.multipliers) sum += l;
  out.primal = out.smallest > 0.0 ? out.norm / out.smallest : infinity;
  out.dual = sum / out.length;
  return out;
}

// Powers beyond this are approached by doubling: the best W of one is near that of the next, while the p-th
// power of a norm that is off by a factor is off by the p-th power of that.
constexpr double first_power = 8.0;
constexpr double stage_gap = 1e-2;  // at which the next power may begin

class NormSolver {
 public:
  NormSolver(const RankOneConstraints& given, const NormMaxMarginOptions& options)
      : given_(given), options_(options), norm_{options.norm, options.p, given.dim} {
    result_.n_constraints = given.size();
  }
  MaxMarginResult run(const MaxMarginResult& start);

 private:
  double certify(const Barrier::Pair& pair);
  void follow(Barrier::Pair best);
  bool follow_stage(Barrier::Pair& best, const Norm& norm, bool last);

  const RankOneConstraints& given_;
  const NormMaxMarginOptions& options_;
  Norm norm_;
  MaxMarginResult result_;
};

// The gap of a pair, from the constraints as they were given. Keeps the pair of the smallest so far, scaled
// so that the smallest margin and the dual norm are 1.
double NormSolver::certify(const Barrier::Pair& pair) {
  const std::vector<double> combination = given_.combination(pair.multipliers);
  const Bounds bounds = bounds_of(given_, pair, combination, norm_);
  const double gap = bounds.gap();
  if (!(gap < result_.duality_gap)) return gap;
  double largest = 0.0, product = 0.0;
  for (const double l : pair.multipliers) largest = std::max(largest, l);
  for (std::size_t j = 0; j < combination.size(); ++j) product += combination[j] * pair.weights[j];
  const double smallest = bounds.smallest;
  double residual = std::max(0.0, 1.0 - product / (bounds.norm * bounds.length));
  for (std::size_t k = 0; k < bounds.values.size(); ++k)
    residual = std::max(
        residual, std::fabs(std::min(pair.multipliers[k] / largest, bounds.values[k] / smallest - 1.0)));
  result_.duality_gap = gap;
  result_.kkt_residual = residual;
  result_.weights = pair.weights;
  for (double& w : result_.weights) w /= smallest;
  result_.norm = bounds.primal;
  result_.margin = 1.0 / bounds.primal;
  result_.multipliers.assign(given_.n_slots, 0.0);
  result_.n_support = 0;
  for (std::size_t k = 0; k < bounds.values.size(); ++k) {
    result_.multipliers[given_.slot[k]] = pair.multipliers[k] / bounds.length;
    result_.n_support += pair.multipliers[k] > 1e-6 * largest;
  }
  return gap;
}

// From W_mm and its multipliers.
void NormSolver::follow(Barrier::Pair best) {
  Norm stage = norm_;
  if (stage.kind == MatrixNorm::l_p)
    for (stage.p = std::min(first_power, norm_.p); stage.p < norm_.p;
         stage.p = std::min(2.0 * stage.p, norm_.p))
      if (!follow_stage(best, stage, false)) return;
  follow_stage(best, norm_, true);
}

// The path of one norm from a pair, which gets the best one found. In units of the pair's W with the smallest
// margin 1, where its norm is 1, and of rows A_k of norm 1 where the variables are multipliers. False: stop.
bool NormSolver::follow_stage(Barrier::Pair& best, const Norm& norm, bool last) {
  const std::size_t n = given_.size();
  const std::vector<double> margins = given_.values(best.weights);
  const double smallest = *std::min_element(margins.begin(), margins.end());
  if (!(smallest > 0.0)) return false;
  const double unit = norm.of(best.weights) / smallest;  // ||W|| of the feasible multiple
  RankOneConstraints scaled = given_;
  for (double& x : scaled.differences) x *= unit;

  std::unique_ptr<Barrier> barrier;
  std::vector<double> x;
  double size = 0.0;  // of the objective
  if (norm.kind == MatrixNorm::nuclear || norm.p <= 2.0) {
    // Every constraint gets a share of what they have together, measured by what each adds to the
    // combination.
    x = best.multipliers;
    const std::vector<double> lengths = scaled.lengths();
    double sum = 0.0;
    for (std::size_t k = 0; k < n; ++k) sum += x[k] * lengths[k];
    for (std::size_t k = 0; k < n; ++k) x[k] += 0.01 * sum / static_cast<double>(n) / lengths[k];
    const double length = norm.dual(scaled.combination(x));
    double total = 0.0, scale = 0.5 / length;
    for (const double l : x) total += l;
    if (norm.kind == MatrixNorm::nuclear) {
      barrier = std::make_unique<NuclearBarrier>(scaled);
    } else {
      const double q = norm.p / (norm.p - 1.0);
      barrier = std::make_unique<DualPowerBarrier>(scaled, q);
      scale = std::pow(total / length, 1.0 / (q - 1.0)) / length;  // the best multiple of the multipliers
    }
    for (double& l : x) size += l *= scale;
  } else {
    barrier = std::make_unique<PrimalPowerBarrier>(scaled, norm.p);
    x = best.weights;
    for (double& w : x) size += std::pow(std::fabs(w *= (1.0 + 1.0 / norm.p) / (smallest * unit)), norm.p);
  }
  double smallest_gap = infinity;  // of this path
  std::size_t failures = 0;
  const std::size_t before = result_.sweeps;
  const auto centred = [&](const std::vector<Barrier::Pair>& found, std::size_t steps) {
    result_.sweeps = before + steps;
    double gap = infinity;
    for (Barrier::Pair pair : found) {
      for (double& w : pair.weights) w *= unit;
      const double certified = certify(pair);  // in the norm of the last path
      const double now =
          last ? certified : bounds_of(given_, pair, given_.combination(pair.multipliers), norm).gap();
      if (now < smallest_gap && now < gap) best = pair;
      gap = std::min(gap, now);
    }
    // A gap that no longer shrinks is at its rounding error. In the beginning it may not shrink because tau
    // is still far too small: then more failures are allowed.
    failures = gap < 0.9 * smallest_gap ? 0 : failures + 1;
    smallest_gap = std::min(smallest_gap, gap);
    if (!last && gap <= stage_gap) return false;
    return !(result_.duality_gap <= options_.tolerance) && failures < (smallest_gap < 0.1 ? 3 : 12);
  };
  const auto stepped = [&](std::size_t steps) {
    result_.sweeps = before + steps;
    if (!options_.progress || options_.progress(result_.sweeps, result_.duality_gap, result_.kkt_residual))
      return true;
    result_.status = MaxMarginStatus::interrupted;
    return false;
  };
  follow_path(*barrier, std::move(x), barrier->barrier_parameter() / size, options_.max_sweeps - before,
              centred, stepped);
  return result_.status != MaxMarginStatus::interrupted && result_.sweeps < options_.max_sweeps &&
         !(result_.duality_gap <= options_.tolerance);
}

MaxMarginResult NormSolver::run(const MaxMarginResult& start) {
  result_.status = start.status == MaxMarginStatus::max_sweeps ? start.status : MaxMarginStatus::at_rounding;
  result_.duality_gap = result_.kkt_residual = infinity;
  result_.sweeps = start.sweeps;
  // W_mm itself is a first answer, and for Frobenius the last; without a gap where rounding hides that it is
  // feasible.
  result_.weights = start.weights;
  result_.multipliers = start.multipliers;
  result_.norm = norm_.of(start.weights);
  const std::vector<double> margins = given_.values(start.weights);
  result_.margin = *std::min_element(margins.begin(), margins.end()) / result_.norm;
  Barrier::Pair first{start.weights, std::vector<double>(given_.size())};
  for (std::size_t k = 0; k < given_.size(); ++k) first.multipliers[k] = start.multipliers[given_.slot[k]];
  certify(first);
  if (start.status == MaxMarginStatus::interrupted) {
    result_.status = MaxMarginStatus::interrupted;
    return std::move(result_);
  }
  if (options_.norm != MatrixNorm::frobenius && start.margin > 0.0 && result_.sweeps < options_.max_sweeps)
    follow(std::move(first));
  if (result_.status != MaxMarginStatus::interrupted && result_.duality_gap <= options_.tolerance)
    result_.status = MaxMarginStatus::optimal;
  else if (result_.status == MaxMarginStatus::at_rounding && result_.sweeps >= options_.max_sweeps)
    result_.status = MaxMarginStatus::max_sweeps;
  return std::move(result_);
}

}  // namespace

void NormMaxMarginOptions::validate() const {
  if (norm != MatrixNorm::frobenius && norm != MatrixNorm::l_p && norm != MatrixNorm::nuclear)
    throw InvalidArgument(
        "norm", std::string(to_string(norm)) + " has no max-margin solver (known: frobenius, lp, nuclear)");
  if (norm == MatrixNorm::l_p && (!(p > 1.0) || !std::isfinite(p)))
    throw InvalidArgument("p", data::number_text(p) + " (need a finite number above 1)");
  MaxMarginOptions common;
  common.tolerance = tolerance;
  common.max_sweeps = max_sweeps;
  common.n_threads = n_threads;
  common.validate();
}

template <NumberType T>
MaxMarginResult solve_max_margin_in_norm(const BatchView<T>& batch, const NormMaxMarginOptions& options) {
  options.validate();
  const TokenScores tokens = chosen_tokens(batch, options.selected);
  MaxMarginOptions frobenius;
  frobenius.selected = tokens.optimal;
  frobenius.tolerance = options.norm == MatrixNorm::frobenius ? options.tolerance : 1e-4;
  frobenius.max_sweeps = options.max_sweeps;
  frobenius.n_threads = options.n_threads;
  frobenius.progress = options.progress;
  MaxMarginResult start = solve_max_margin(batch, frobenius);
  start.unique_optimal_tokens = tokens.not_unique.empty();
  if (start.status == MaxMarginStatus::not_separable || start.status == MaxMarginStatus::undecided ||
      start.status == MaxMarginStatus::no_constraints)
    return start;
  // W_mm and the answer in the units of the constraints as written. Of the multipliers only the ratios count:
  // the largest is brought near 1, where they cannot take their combination out of range.
  const RankOneConstraints written = written_constraints(batch, tokens);
  scale_by_power(start.weights, -written.exponent);
  start.norm = std::ldexp(start.norm, -written.exponent);
  const double largest = *std::max_element(start.multipliers.begin(), start.multipliers.end());
  if (largest > 0.0) scale_by_power(start.multipliers, -std::ilogb(largest));
  MaxMarginResult result = NormSolver(written, options).run(start);
  scale_by_power(result.weights, written.exponent);
  scale_by_power(result.multipliers, written.exponent);
  result.norm = std::ldexp(result.norm, written.exponent);
  result.margin = std::ldexp(result.margin, -written.exponent);
  result.unique_optimal_tokens = start.unique_optimal_tokens;
  return result;
}

template MaxMarginResult solve_max_margin_in_norm(const BatchView<float>&, const NormMaxMarginOptions&);
template MaxMarginResult solve_max_margin_in_norm(const BatchView<double>&, const NormMaxMarginOptions&);

}  // namespace softstep
