// The regularisation path beside the descent path: least losses on balls of growing radius.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "interrupt.h"
#include "reproduce/fit.h"
#include "reproduce/runs.h"
#include "reproduce/worst.h"

namespace softstep::program::reproduce {

namespace {

constexpr std::int64_t n_steps = 4000;

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

struct Place {
  double log_gap = 0.0, residual = 0.0;  // residual: 1 - cos(W, -G), 0 at the least loss on the ball
};

// Brings W to the least loss on the sphere |W| = radius, from where it is: W by turns a little towards -G.
// The gradient's direction changes by about radius times a change of W's, hence the length of a turn.
Place solve_on_sphere(const Model<double>& model, Workspace& space, double radius, bool broken, Vector& w) {
  Evaluation<double> at;
  Place out;
  const auto scale_to = [&](double length) {
    const double factor = length / std::sqrt(dot(w, w));
    for (double& x : w) x *= factor;
  };
  if (dot(w, w) > 0.0) scale_to(radius);
  const double turn = 0.5 / (1.0 + radius);
  const auto n_rounds = static_cast<std::int64_t>(60.0 * (1.0 + radius)) + 1500;
  for (std::int64_t round = 0; round <= n_rounds; ++round) {
    if (round % 128 == 0 && interrupted()) return out;
    const std::vector<Vector> blocks = {w};
    model.evaluate(views_of(blocks), at, space, want_gradient | want_loss_gap);
    Vector downhill(at.gradients[0].mantissa().begin(), at.gradients[0].mantissa().end());
    if (broken)
      for (double& g : downhill) g = std::copysign(1.0, g);
    const double length = std::sqrt(dot(downhill, downhill));
    for (double& g : downhill) g /= -length;
    out.log_gap = at.loss_gap.log();
    if (round == n_rounds) break;
    for (std::size_t k = 0; k < w.size(); ++k) w[k] += turn * radius * downhill[k];
    scale_to(radius);
  }
  Vector downhill(at.gradients[0].mantissa().begin(), at.gradients[0].mantissa().end());
  for (double& g : downhill) g = -g;
  out.residual =
      compare_direction(std::span<const double>(w), std::span<const double>(downhill)).one_minus_cos;
  return out;
}

Result run(const Context& context) {
  GeneratorOptions generator;
  generator.n_samples = 6;
  generator.n_tokens = 5;
  generator.dim = 24;
  generator.seed = 0;
  const Dataset<double> data = generate(generator);
  Result result;
  result.configuration = {{"samples", 6}, {"tokens", 5}, {"dim", 24}, {"seed", 0}, {"steps", n_steps}};
  const Vector reference = max_margin_direction(data.view(), context.n_threads);
  const double margin = 1.0 / std::sqrt(dot(reference, reference));

  // The descent path, whose norms are the radii.
  AttentionModel<double> model(data.view(), AttentionOptions{});
  TrainState<double> state = initial_state(model);
  TrainerOptions trainer;
  trainer.rules = {parse_rule("ngd:step-size=0.1")};
  trainer.n_steps = n_steps;
  trainer.references = {reference};
  trainer.trace_rows_per_decade = 5;
  std::vector<Vector> descent;
  trainer.trace = [&](const TraceRecord&) {
    descent.push_back(state.blocks[0]);
    return true;
  };
  const Trace trace = run_model(model, state, trainer);
  if (interrupted_run({trace})) return result;

  const auto space = model.make_workspace();
  Vector w;
  Vector radii, to_reference, to_descent, log_gaps;
  double worst_residual = 0.0, least_quotient = std::numeric_limits<double>::infinity();
  Table table{"The least loss on a ball beside the descent at the same norm",
              {"radius", "log10 of the least gap", "log10 of the descent's", "1 - cos to W_mm",
               "1 - cos to the descent"},
              {}};
  DataFile file{"path.csv",
                {"radius", "log10_gap", "log10_descent_gap", "one_minus_cos", "one_minus_cos_descent",
                 "to_descent", "residual"},
                {}};
  for (std::size_t k = 0; k < trace.rows.size(); ++k) {
    const TraceRecord& row = trace.rows[k];
    if (row.weight_norm < 1.0) continue;
    if (w.empty()) w = descent[k];
    const Place place = solve_on_sphere(model, *space, row.weight_norm, context.broken, w);
    if (interrupted()) return result;
    const double log10_gap = place.log_gap / std::log(10.0);
    radii.push_back(row.weight_norm);
    log_gaps.push_back(place.log_gap);
    to_reference.push_back(
        compare_direction(std::span<const double>(w), std::span<const double>(reference)).one_minus_cos);
    to_descent.push_back(
        compare_direction(std::span<const double>(w), std::span<const double>(descent[k])).one_minus_cos);
    worst_residual = larger(worst_residual, place.residual);
    least_quotient = smaller(least_quotient, std::exp((row.log10_gap - log10_gap) * std::log(10.0)));
    table.rows.push_back({rounded(row.weight_norm, 4), rounded(log10_gap, 5), rounded(row.log10_gap, 5),
                          rounded(to_reference.back(), 3), rounded(to_descent.back(), 3)});
    file.rows.push_back({shortest(row.weight_norm), shortest(log10_gap), shortest(row.log10_gap),
                         shortest(to_reference.back()), shortest(row.one_minus_cos),
                         shortest(to_descent.back()), shortest(place.residual)});
  }
  // At the least loss W is a multiple of -G.
  result.checks.push_back(
      {"balls: 1 - cos(W, -G) at the least loss, largest of the radii", "0", worst_residual, 0.0, 1e-6});
  // Up to the rounding of log10(gap), whose size is at most 400, and the residual.
  result.checks.push_back({"loss gap of the descent over the least on the ball, least of the radii",
                           "1 or more", least_quotient, 1.0 - 1e-6, std::numeric_limits<double>::infinity()});
  // W_R = R W_mm / |W_mm| + O(1) across in the limit; tokens that only just miss being support tokens make
  // it slower before. How much was seen first, and the intervals are as wide as that.
  result.checks.push_back({"balls: exponent of 1 - cos(W, W_mm) in the radius, 90..400", "-2",
                           fitted_exponent(radii, to_reference, 90.0, 400.0), -2.1, -1.7});
  Vector far_radii, far_gaps;
  for (std::size_t k = 0; k < radii.size(); ++k)
    if (radii[k] >= 20.0) {
      far_radii.push_back(radii[k]);
      far_gaps.push_back(log_gaps[k]);
    }
  // L - L* is between c and C times e^(-R margin), so that the slope is off by log(C / c) / 380 at most; a
  // few thousandths where that is of the order of log n = 1.8.
  result.checks.push_back({"balls: slope of log(L - L*) in the radius, over minus the margin", "1",
                           -fit_line(far_radii, far_gaps).slope / margin, 0.99, 1.01});
  result.checks.push_back({"descent beside balls: exponent of 1 - cos between them, 90..400", "-2",
                           fitted_exponent(radii, to_descent, 90.0, 400.0), -2.2, -1.6});
  result.tables.push_back(table);
  Figure figure{"path", "The regularisation path and the descent path come to one direction",
                "Signal and noise, n = 6, T = 5, d = 24: W of least loss on balls, and of normalised steps "
                "of 0.1 at the same norm.",
                "$\\|W\\|$", "$1 - \\cos$"};
  Vector of_descent;
  for (const TraceRecord& row : trace.rows)
    if (row.weight_norm >= 1.0) of_descent.push_back(row.one_minus_cos);
  figure.series = {{"least loss on the ball, to $W_{mm}$", radii, to_reference},
                   {"descent, to $W_{mm}$", radii, of_descent},
                   {"descent, to the ball's", radii, to_descent}};
  result.figures.push_back(figure);
  result.data.push_back(file);
  return result;
}

}  // namespace

const Entry path_entry = {"path",
                          "The regularisation path beside the descent path",
                          "The least loss on balls of growing radius, and normalised steps at the same norm: "
                          "both come to W_mm (regularisation "
                          "path of attention: Ataee Tarzanagh, Li, Thrampoulidis, Oymak, arXiv 2308.16898, "
                          "which arXiv 2402.05738 starts from). "
                          "The exponents are derived here.",
                          "turns by the sign of the gradient in place of the gradient",
                          run,
                          "arXiv 2308.16898, as arXiv 2402.05738 uses it",
                          "the least loss on growing balls comes to W_mm, as descent does",
                          "holds; exponents in the radius are ours"};

}  // namespace softstep::program::reproduce
