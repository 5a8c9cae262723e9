// The hard-margin problem of labelled points: the decoder's u_mm, and the linear model that the paper draws
// its analogy from.

#include <cmath>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/max_margin/constraints/chosen_tokens.h"
#include "core/max_margin/constraints/dense_rows.h"
#include "core/max_margin/hard_margin.h"
#include "core/max_margin/proofs/ray_proof.h"
#include "core/max_margin/solver_ranks.h"
#include "core/threads/start.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

template <class T>
MaxMarginResult solve_points(std::span<const T> points, std::span<const std::int8_t> labels, std::size_t dim,
                             const MaxMarginOptions& options) {
  const std::size_t n = labels.size();
  options.validate();
  refuse_ranks(options);
  if (!options.selected.empty())
    throw InvalidArgument("selected", "points have no tokens to select from (need it empty)");
  if (n == 0) throw InvalidArgument("labels", "0 entries (need at least 1)");
  if (dim == 0) throw InvalidArgument("dim", "0 (need at least 1)");
  std::size_t size = 0;
  if (!data::multiply(n, dim, data::max_bytes / sizeof(double), size))
    throw InvalidArgument(
        "dim", std::to_string(n) + " points of dimension " + std::to_string(dim) + " cannot be addressed");
  if (points.size() != size)
    throw InvalidArgument("points", std::to_string(points.size()) +
                                        " entries (need a row of dim = " + std::to_string(dim) +
                                        " for each of the " + std::to_string(n) + " labels)");
  std::vector<double> rows(size);
  for (std::size_t i = 0; i < n; ++i) {
    if (labels[i] != 1 && labels[i] != -1)
      throw InvalidArgument(
          "labels", "point " + std::to_string(i) + ": " + std::to_string(labels[i]) + " (need -1 or 1)");
    for (std::size_t j = 0; j < dim; ++j) {
      const auto x = static_cast<double>(points[i * dim + j]);
      if (!std::isfinite(x))
        throw InvalidArgument("points", "point " + std::to_string(i) + ", element " + std::to_string(j) +
                                            ": " + data::number_text(x) + " (need finite numbers)");
      rows[i * dim + j] = labels[i] * x;
    }
    if (!std::isfinite(frobenius_norm(std::span(rows).subspan(i * dim, dim))))
      throw InvalidArgument("points", "the length of point " + std::to_string(i) + " overflows");
  }
  const RayProof proof([&](std::size_t i) {
    std::vector<double> row(points.data() + i * dim, points.data() + (i + 1) * dim);
    for (double& x : row) x *= labels[i];
    return ExactRow{std::move(row), {}, {1.0}, i};
  });
  const auto judge = [&](std::vector<double>& multipliers, const std::function<bool()>& go_on) {
    return proof.proves(multipliers, go_on);
  };
  DenseRows map(std::move(rows), n, dim, resolve_isa("").kernels<double>());
  return solve_hard_margin(map, n, options, thread_count(options.n_threads), judge);
}

}  // namespace

MaxMarginResult solve_linear_max_margin(std::span<const float> points, std::span<const std::int8_t> labels,
                                        std::size_t dim, const MaxMarginOptions& options) {
  return solve_points(points, labels, dim, options);
}
MaxMarginResult solve_linear_max_margin(std::span<const double> points, std::span<const std::int8_t> labels,
                                        std::size_t dim, const MaxMarginOptions& options) {
  return solve_points(points, labels, dim, options);
}

}  // namespace softstep
