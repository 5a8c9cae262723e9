// The max-margin solver to a tolerance of 1e-8.

#include "core/reference/kernels.h"
#include "data.h"
#include "softstep/softstep.h"
#include "support.h"

namespace softstep::bench {
namespace {

constexpr double tolerance = 1e-8;
constexpr Shape problems[] = {
    {50, 20, 200},   // the size at which general solvers are compared
    {200, 32, 256},  // 6200 constraints
};

// The answer judged from the definition of the problem in long double, without the solver's own certificate:
// W satisfies every constraint, it is a combination of constraints, and no W is shorter by more than the
// tolerance allows. With B_i = sum_t lambda_it (x_i,opt - x_it), sum lambda_k A_k = sum_i B_i z_i^T. Each as
// error over bound; W is a double: its margins, sums of d^2 rounded products, are right to (d + 2) u ||A_k||
// ||W||.
double worst_over_bound(const BatchView<double>& batch, const MaxMarginResult& result) {
  if (result.status != MaxMarginStatus::optimal || result.weights.size() != batch.dim * batch.dim) return 2.0;
  const TokenScores scores = score_tokens(batch);
  const std::size_t d = batch.dim;
  const auto norm = [](const auto& x) {
    return std::sqrt(reference::dot<long double>(x.size(), x.data(), x.data()));
  };
  std::vector<long double> combination(d * d, 0);
  long double sum = 0, smallest = 1e300L, longest = 0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const double* z = batch.query(i);
    std::vector<long double> projected(d), b(d, 0), row(d);
    for (std::size_t r = 0; r < d; ++r)
      projected[r] = reference::dot<long double>(d, result.weights.data() + r * d, z);
    const double* best = batch.sample(i) + scores.optimal[i] * batch.row_stride();
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      const long double lambda = result.multipliers[scores.first[i] + t];
      if (!(lambda >= 0)) return 2.0;
      if (t == scores.optimal[i]) continue;
      for (std::size_t j = 0; j < d; ++j)
        row[j] = static_cast<long double>(best[j]) - batch.sample(i)[t * batch.row_stride() + j];
      for (std::size_t j = 0; j < d; ++j) b[j] += lambda * row[j];
      sum += lambda;
      smallest = std::min(smallest, reference::dot<long double>(d, row.data(), projected.data()));
      const long double length_z = std::sqrt(reference::dot<long double>(d, z, z));
      longest = std::max(longest, norm(row) * length_z);
    }
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t c = 0; c < d; ++c) combination[r * d + c] += b[r] * z[c];
  }
  const long double length = norm(result.weights), dual_length = norm(combination);
  const auto rounding = static_cast<double>(0x1p-53L * static_cast<long double>(d + 2) * longest * length);
  const long double primal = length * length / 2, dual = sum * sum / (2 * dual_length * dual_length);
  std::vector<long double> difference(d * d);
  for (std::size_t k = 0; k < d * d; ++k)
    difference[k] = result.weights[k] / length - combination[k] / dual_length;
  // The gap bounds the distance of the directions too: ||W - W_mm||^2 <= 2 gap for feasible W, and likewise
  // for the dual's.
  double worst = static_cast<double>(1 - smallest) / rounding;
  worst = worse(worst, static_cast<double>((primal - dual) / primal) / (tolerance + 4 * rounding));
  return worse(worst, static_cast<double>(norm(difference)) / (2 * std::sqrt(2 * tolerance + 8 * rounding)));
}

void measure(benchmark::State& state, const std::string& label, const Shape& shape, int threads) {
  const BatchView<double>& data = signal_noise<double>(shape).view();
  MaxMarginOptions options;
  options.tolerance = tolerance;
  options.n_threads = threads;
  MaxMarginResult result = solve_max_margin(data, options);
  if (!verified_once(state, label, [&] { return worst_over_bound(data, result); })) return;
  for (auto _ : state) result = solve_max_margin(data, options);
  state.counters["constraints"] = static_cast<double>(result.n_constraints);
  state.counters["support"] = static_cast<double>(result.n_support);
  state.counters["sweeps"] = static_cast<double>(result.sweeps);
  state.counters["gap"] = result.duality_gap;
  state.counters["kkt"] = result.kkt_residual;
}

const bool registered = [] {
  for (const Shape& shape : problems)
    for (const int threads : thread_counts()) {
      const std::string label = "max_margin/f64/" + name(shape) + "/threads:" + std::to_string(threads);
      enlist(label, [=](benchmark::State& s) {
        measure(s, label, shape, threads);
      })->Unit(benchmark::kMillisecond);
    }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
