// What is said of weights: softstep/metrics.h.

#include "softstep/metrics.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "parts.h"
#include "problem.h"
#include "results.h"
#include "softstep/error.h"
#include "softstep/margin_certificate.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

// NaN where the certificate says nothing: of a margin that is not positive, and where scores of huge weights
// are no numbers.
template <NumberType T>
double share_if_any(const BatchView<T>& batch, const TokenScores& scores, std::span<const double> weights,
                    double margin) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  if (!(margin > 0.0)) return none;
  MarginCertificate certificate(batch.dim, batch.dim);
  try {
    return add_attention_gradient(certificate, batch, scores, weights)
               ? certificate.share(margin, MatrixNorm::frobenius)
               : none;
  } catch (const InvalidArgument&) {
    return none;
  }
}

// Of a block of one column a dimension may be missing; W of keys and queries is formed.
template <NumberType T>
nb::dict metrics_of(ProblemOf<T>& problem, nb::handle point, nb::handle reference, double level) {
  const Blocks<T> at = problem.read(point, "W");
  std::vector<std::vector<double>> wide;
  for (std::size_t k = 0; k < at.n; ++k) wide.emplace_back(at.spans[k].begin(), at.spans[k].end());
  const std::vector<std::span<const double>> views = views_of(wide);
  const Observable shape = problem.model().observables()[0];
  const std::vector<double> w = problem.model().observe(views, 0);
  const std::span<const double> weights = w;

  typename ProblemOf<T>::Taken seat(problem);
  problem.without_gil([&] { problem.model().evaluate(at.point(), seat->out, *seat->space, want_all); });
  const Evaluation<T>& e = seat->out;
  nb::dict out;
  out["loss"] = e.loss;
  out["log10_loss"] = e.loss_scaled.log10();
  out["log10_gap"] = e.loss_gap.log10();
  double gradient = 0.0, largest = -std::numeric_limits<double>::infinity();
  for (const BlockGradient<T>& g : e.gradients) largest = std::max(largest, g.norm_scaled().log10());
  for (const BlockGradient<T>& g : e.gradients)
    if (g.norm != 0.0) gradient += std::pow(10.0, 2.0 * (g.norm_scaled().log10() - largest));
  out["log10_gradient_norm"] = gradient > 0.0 ? largest + 0.5 * std::log10(gradient) : largest;
  out["accuracy"] = e.accuracy;
  out["min_optimal_attention"] = e.min_optimal_attention;
  out["log10_one_minus_optimal_attention"] = e.log10_one_minus_optimal_attention;
  out["weight_norm"] = frobenius_norm(weights);
  if (!reference.is_none()) {
    const Doubles other(reference, "reference");
    const Direction direction = compare_direction(weights, other.span());
    out["one_minus_cos"] = direction.one_minus_cos;
    out["angle"] = direction.angle;
  }
  const std::size_t d = problem.layout().dim;
  if (shape.n_rows != d || shape.n_cols != d) return out;
  const std::vector<double> values = singular_values(weights, d, d);
  out["spectral_norm"] = values.empty() ? 0.0 : values.front();
  out["rank"] =
      std::isfinite(weights.empty() ? 0.0 : values.front()) ? numerical_rank(values) : std::size_t{0};
  const BatchView<T>& batch = problem.batch();
  if (batch.decoder != nullptr && (batch.labels != nullptr || batch.targets != nullptr)) {
    const TokenScores scores = score_tokens(batch);
    const double margin = normalized_margin(batch, scores, weights);
    out["normalized_margin"] = margin;
    out["certified_share"] = share_if_any(batch, scores, weights, margin);
  }
  const AttentionSparsity sparsity = attention_sparsity(batch, weights, level);
  out["mean_entropy"] = sparsity.mean_entropy;
  out["mean_effective_tokens"] = sparsity.mean_effective_tokens;
  out["fraction_below"] = sparsity.fraction_below;
  return out;
}

nb::dict metrics(const Problem& self, nb::handle point, nb::handle reference, double level) {
  return self.visit([&](auto& problem) { return metrics_of(problem, point, reference, level); });
}

nb::tuple direction(nb::handle a, nb::handle b) {
  const Doubles first(a, "a"), second(b, "b");
  const Direction found = compare_direction(first.span(), second.span());
  return nb::make_tuple(found.one_minus_cos, found.angle);
}

double norm_of(nb::handle a, const std::string& norm, double p) {
  const Doubles matrix(a, "a");
  matrix.array.require_dims(2, "(rows, columns)");
  return matrix_norm(matrix.span(), matrix.array.extent(0), matrix.array.extent(1), parse_matrix_norm(norm),
                     p);
}

}  // namespace

void add_metrics(nb::module_& m, nb::class_<Problem, AnyModel>& c) {
  c.def("metrics", &metrics, "W"_a, "reference"_a.none() = nb::none(), "level"_a = 1e-3,
        nb::sig("def metrics(self, W: Point, reference: ArrayLike | None = None, level: float = 0.001) -> "
                "dict[str, float]"),
        R"(What is said of weights, by name.

loss, log10_loss, log10_gap, log10_gradient_norm, accuracy, min_optimal_attention, log10_one_minus_optimal_attention,
weight_norm, spectral_norm, rank (singular values above 1e-6 of the largest), normalized_margin (min of (x_opt - x_t)^T W z over
|W|), certified_share (what share of the largest such margin W has at least; NaN where normalized_margin is not positive),
mean_entropy (natural), mean_effective_tokens, fraction_below (of tokens, those with an attention below `level`); with
`reference` also one_minus_cos and angle (radians). All are right where plain numbers underflow. Of a prompt: without what
takes a matrix.)");
  m.def("compare_direction", &direction, "a"_a, "b"_a,
        nb::sig("def compare_direction(a: ArrayLike, b: ArrayLike) -> tuple[float, float]"),
        "1 - cos and the angle (radians) of two arrays of one size, right to rounding where they are nearly "
        "parallel.");
  m.def("matrix_norm", &norm_of, "a"_a, "norm"_a = "frobenius", "p"_a = 2.0,
        nb::sig("def matrix_norm(a: ArrayLike, norm: str = 'frobenius', p: float = 2.0) -> float"),
        "Norm of a matrix: frobenius, spectral, max, nuclear, or lp with p >= 1.");
}

}  // namespace softstep::python
