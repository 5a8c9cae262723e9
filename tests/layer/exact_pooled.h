#pragma once

// Samples with several queries in 520 digits at one W, and the derived bounds of what is compared with them.

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/reference/pooled.h"
#include "layer/exact_gap.h"
#include "layer/exact_objective.h"

namespace softstep::test {

template <class T>
struct ExactPooled {
  reference::PooledProblem<Exact> problem;
  std::vector<reference::SampleValue<Exact>> values;  ///< by row
  std::vector<Exact> gradient;
  Exact gradient_norm;
  reference::GradientBound gradient_bound;
  std::vector<Exact> margin_errors;  ///< by sample: bound of |m_i - exact|, not underflowing
  std::vector<double> score_errors;  ///< by row

  /// The margin's error is that of its rows by weight; weights, their products and the sum of m terms of one
  /// sign round by (m + 4) 2^-53 of the sum (of the sizes where gaps to pivots are added).
  ExactPooled(const BatchView<T>& batch, const std::vector<T>& w, Loss kind)
      : problem(reference::pooled_problem_of<Exact>(batch)),
        values(reference::evaluate(problem, w.data(), exact_loss(kind))),
        gradient(reference::gradient(problem.rows, values)),
        gradient_norm(norm_of(gradient)) {
    const double u = unit_roundoff<T>;
    std::vector<double> of_rows;
    for (std::size_t i = 0; i < problem.n_samples(); ++i) {
      const std::size_t begin = problem.first[i], end = problem.first[i + 1];
      Exact error(0);
      for (std::size_t row = begin; row < end; ++row) {
        const double delta = reference::score_error(problem.rows, row, w.data(), u);
        score_errors.push_back(delta);
        const auto& sample = problem.rows.samples[row];
        error +=
            problem.weights[row] * (margin_error(sample, values[row], delta, u) +
                                    Exact(static_cast<double>(end - begin) + 4.0) * 0x1p-53 *
                                        (values[row].attention.gap_to_optimal + 2 * size_from_pivot(row)));
      }
      margin_errors.push_back(Exact(1.01) * error);
      for (std::size_t row = begin; row < end; ++row) {
        // The weight itself is rounded.
        const Exact whole =
            error +
            Exact(4 * 0x1p-53) * (1 + abs(problem.total_weight[i] * problem.rows.samples[row].optimal_score));
        of_rows.push_back(static_cast<double>(Exact(Exact(1.01) * whole)));
      }
    }
    if (gradient_norm > 0)
      gradient_bound = reference::gradient_bound(problem.rows, values, w.data(), gradient_norm, u, of_rows);
  }

  std::size_t pivot(std::size_t row) const {
    const auto& z = values[row].attention.relative_scores;
    return static_cast<std::size_t>(std::max_element(z.begin(), z.end()) - z.begin());
  }
  /// gamma_a - m of one row, and the same with every term in absolute value.
  Exact from_pivot(std::size_t row, bool sizes = false) const {
    const auto& sample = problem.rows.samples[row];
    Exact sum(0);
    for (std::size_t t = 0; t < sample.n_tokens; ++t) {
      const Exact term = values[row].attention.attention[t] * (sample.gaps[t] - sample.gaps[pivot(row)]);
      sum += sizes ? Exact(abs(term)) : term;
    }
    return sum;
  }
  Exact size_from_pivot(std::size_t row) const { return from_pivot(row, true); }

  /// As exact_gap, of the pooled margins.
  Gap gap(Loss kind, OptimalLoss mode, double value) const {
    const double u = 0x1p-53;
    const auto loss = exact_loss(kind);
    const Exact n(problem.n_samples());
    Gap out{Exact(0), Exact(0)};
    for (std::size_t i = 0; i < problem.n_samples(); ++i) {
      const std::size_t begin = problem.first[i], end = problem.first[i + 1];
      const Exact optimal = problem.total_weight[i] * problem.rows.samples[begin].optimal_score;
      Exact to_optimal(0), to_pivots(0), pivots = optimal, exponent = Exact(1) + abs(optimal);
      for (std::size_t row = begin; row < end; ++row) {
        const auto& sample = problem.rows.samples[row];
        to_optimal += problem.weights[row] * values[row].attention.gap_to_optimal;
        to_pivots += problem.weights[row] * from_pivot(row);
        const Exact of_pivot = problem.weights[row] * sample.gaps[pivot(row)];
        pivots -= of_pivot;
        exponent += abs(of_pivot) - values[row].attention.relative_scores[sample.optimal] +
                    abs(reference::other_exponent(values[row].attention, sample.gaps.data()));
      }
      const auto& v = values[begin];  // margin and slope are those of the sample
      const Exact slope = v.slope * exp(Exact(-v.slope_shift)) / problem.weights[begin];
      Exact term;
      switch (mode) {
        case OptimalLoss::optimal:
          term = reference::loss_difference(loss, optimal, to_optimal);
          break;
        case OptimalLoss::selected:
          term = reference::loss_difference(loss, pivots, to_pivots);
          break;
        case OptimalLoss::value:
        case OptimalLoss::zero:
          term = reference::loss_value(loss, v.margin);
      }
      out.value += term / n;
      const double m = static_cast<double>(end - begin);
      out.bound +=
          slope * margin_errors[i] * exp(margin_errors[i]) + (20.0 + 2.0 * m) * u * exponent * abs(term) / n;
      if (mode == OptimalLoss::value || mode == OptimalLoss::zero)
        out.bound += (4.0 + 2.0 * m) * u * exponent * slope;
    }
    if (mode == OptimalLoss::value) {
      out.bound += 4 * u * (abs(out.value) + std::fabs(value));
      out.value -= Exact(value);
    }
    out.bound *= Exact(1.01);
    return out;
  }
};

}  // namespace softstep::test
