// The max-margin problem in other norms than Frobenius', by an interior-point method for each, with one certificate for
// all: by duality
//   min { ||W|| : <A_k, W> >= 1 } = max { sum lambda : lambda >= 0, ||sum_k lambda_k A_k||_* <= 1 },
// so that any W with positive margins and any lambda >= 0 bound the answer from both sides.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "core/data/text.h"
#include "core/max_margin/chosen_tokens.h"
#include "core/max_margin/l_p_barrier.h"
#include "core/max_margin/nuclear_barrier.h"
#include "core/max_margin/range.h"
#include "core/max_margin/rank_one_constraints.h"
#include "softstep/max_margin.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double dual_norm(const std::vector<double>& c, std::size_t d, const NormMaxMarginOptions& options) {
  switch (options.norm) {
    case MatrixNorm::nuclear:
      return matrix_norm(c, d, d, MatrixNorm::spectral);
    case MatrixNorm::l_p:
      return matrix_norm(c, d, d, MatrixNorm::l_p, options.p / (options.p - 1.0));
    default:
      return frobenius_norm(c);
  }
}

class NormSolver {
 public:
  NormSolver(const RankOneConstraints& given, const NormMaxMarginOptions& options)
      : given_(given), options_(options) {
    result_.n_constraints = given.size();
  }
  MaxMarginResult run(const MaxMarginResult& start);

 private:
  double certify(const Barrier::Pair& pair);
  void follow(const MaxMarginResult& start);

  const RankOneConstraints& given_;
  const NormMaxMarginOptions& options_;
  MaxMarginResult result_;
};

// The gap of a pair, from the constraints as they were given. Keeps the pair of the smallest so far, scaled so that the
// smallest margin and the dual norm are 1.
double NormSolver::certify(const Barrier::Pair& pair) {
  const std::size_t d = given_.dim;
  const std::vector<double> values = given_.values(pair.weights);
  const double smallest = *std::min_element(values.begin(), values.end());
  const double norm = matrix_norm(pair.weights, d, d, options_.norm, options_.p);
  const std::vector<double> combination = given_.combination(pair.multipliers);
  const double length = dual_norm(combination, d, options_);
  double sum = 0.0, largest = 0.0, product = 0.0;
  for (const double l : pair.multipliers) sum += l, largest = std::max(largest, l);
  for (std::size_t j = 0; j < d * d; ++j) product += combination[j] * pair.weights[j];
  const double primal = smallest > 0.0 ? norm / smallest : infinity, dual = sum / length;
  const double gap = smallest > 0.0 ? std::max(0.0, (primal - dual) / primal) : infinity;
  if (!(gap < result_.duality_gap)) return gap;
  double residual = std::max(0.0, 1.0 - product / (norm * length));
  for (std::size_t k = 0; k < values.size(); ++k)
    residual =
        std::max(residual, std::fabs(std::min(pair.multipliers[k] / largest, values[k] / smallest - 1.0)));
  result_.duality_gap = gap;
  result_.kkt_residual = residual;
  result_.weights = pair.weights;
  for (double& w : result_.weights) w /= smallest;
  result_.norm = primal;
  result_.margin = 1.0 / primal;
  result_.multipliers.assign(given_.n_slots, 0.0);
  result_.n_support = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    result_.multipliers[given_.slot[k]] = pair.multipliers[k] / length;
    result_.n_support += pair.multipliers[k] > 1e-6 * largest;
  }
  return gap;
}

// In units where ||W_mm||_F is 1, from W_mm and its multipliers.
void NormSolver::follow(const MaxMarginResult& start) {
  const std::size_t d = given_.dim, n = given_.size();
  RankOneConstraints scaled = given_;
  for (double& x : scaled.differences) x *= start.norm;
  std::vector<double> weights = start.weights, multipliers(n);
  for (double& w : weights) w /= start.norm;
  double sum = 0.0;
  for (std::size_t k = 0; k < n; ++k) sum += multipliers[k] = start.multipliers[given_.slot[k]];
  for (double& l : multipliers) l = l / sum + 0.01 / static_cast<double>(n);
  const std::vector<double> combination = scaled.combination(multipliers);

  std::unique_ptr<Barrier> barrier;
  std::vector<double> x;
  double size = 0.0;  // of the objective
  if (options_.norm == MatrixNorm::nuclear) {
    barrier = std::make_unique<NuclearBarrier>(scaled);
    const double scale = 0.5 / dual_norm(combination, d, options_);
    x = multipliers;
    for (double& l : x) size += l *= scale;
  } else if (options_.p <= 2.0) {
    const double q = options_.p / (options_.p - 1.0);
    barrier = std::make_unique<DualPowerBarrier>(scaled, q);
    // The best multiple of the multipliers.
    const double length = dual_norm(combination, d, options_);
    double total = 0.0;
    for (const double l : multipliers) total += l;
    const double scale = std::pow(total, 1.0 / (q - 1.0)) * std::pow(length, -q / (q - 1.0));
    x = multipliers;
    for (double& l : x) size += l *= scale;
  } else {
    barrier = std::make_unique<PrimalPowerBarrier>(scaled, options_.p);
    x = weights;
    for (double& w : x) size += std::pow(std::fabs(w *= 1.5), options_.p);
  }
  const double unit = 1.0 / start.norm;
  double best = infinity;  // of the path, which starts far from W_mm
  std::size_t failures = 0;
  const std::size_t before = result_.sweeps;
  const auto centred = [&](const std::vector<Barrier::Pair>& found, std::size_t steps) {
    result_.sweeps = before + steps;
    double gap = infinity;
    for (Barrier::Pair pair : found) {
      for (double& w : pair.weights) w *= unit;
      gap = std::min(gap, certify(pair));
    }
    // A gap that no longer shrinks is at its rounding error. In the beginning it may not shrink because tau
    // is still far too small: then more failures are allowed.
    failures = gap < 0.9 * best ? 0 : failures + 1;
    best = std::min(best, gap);
    return !(result_.duality_gap <= options_.tolerance) && failures < (best < 0.1 ? 3 : 12);
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
}

MaxMarginResult NormSolver::run(const MaxMarginResult& start) {
  result_.status = start.status == MaxMarginStatus::max_sweeps ? start.status : MaxMarginStatus::at_rounding;
  result_.duality_gap = result_.kkt_residual = infinity;
  result_.sweeps = start.sweeps;
  // W_mm itself is a first answer, and for Frobenius the last.
  Barrier::Pair first{start.weights, std::vector<double>(given_.size())};
  for (std::size_t k = 0; k < given_.size(); ++k) first.multipliers[k] = start.multipliers[given_.slot[k]];
  certify(first);
  if (start.status == MaxMarginStatus::interrupted) {
    result_.status = MaxMarginStatus::interrupted;
    return std::move(result_);
  }
  if (options_.norm != MatrixNorm::frobenius && start.margin > 0.0 && result_.sweeps < options_.max_sweeps)
    follow(start);
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
  if (start.status == MaxMarginStatus::not_separable || start.status == MaxMarginStatus::no_constraints)
    return start;
  // W_mm and the answer in the units of the constraints as written.
  const RankOneConstraints written = written_constraints(batch, tokens);
  scale_by_power(start.weights, -written.exponent);
  start.norm = std::ldexp(start.norm, -written.exponent);
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
