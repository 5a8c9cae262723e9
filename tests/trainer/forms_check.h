#pragma once

// One NGD step of a span form beside the gradient in 520 digits.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "layer/exact_objective.h"
#include "support/batches.h"
#include "trainer/runs.h"

namespace softstep::test {

/// ||a/|a| - b/|b|||
template <class A, class B>
double direction_distance(const std::vector<A>& a, const std::vector<B>& b) {
  return std::sqrt(2.0 * compare_direction(a, b).one_minus_cos);
}

/// x[j] over a power of two near the largest of the d entries, as the coefficients of span forms count tokens
/// and queries (train_state.h): a multiple of 32 in float, of 256 in double.
template <class T>
double in_its_unit(const T* x, std::size_t d, std::size_t j) {
  constexpr int leap = sizeof(T) == sizeof(float) ? 32 : 256;
  double largest = 0.0;
  for (std::size_t k = 0; k < d; ++k) largest = std::max(largest, std::fabs(static_cast<double>(x[k])));
  const double leaps = largest == 0.0 ? 0.0 : static_cast<double>(std::ilogb(largest)) / leap;
  return std::scalbn(static_cast<double>(x[j]), -leap * static_cast<int>(std::lround(leaps)));
}

/// sum_i b_i z_i^T, or sum_it a_it x_it z_i^T, with x and z in their units, from the coefficients themselves.
/// `lanes`: b with the sample index last.
template <class T>
std::vector<double> expand(const BatchView<T>& batch, Form form, const std::vector<T>& coefficients,
                           bool lanes) {
  const std::size_t n = batch.n_samples, d = batch.dim;
  std::vector<double> w(d * d, 0.0);
  std::size_t k = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> row(d, 0.0);
    for (std::size_t t = 0; form == Form::token_span && t < batch.tokens_of(i); ++t, ++k)
      for (std::size_t j = 0; j < d; ++j)
        row[j] += static_cast<double>(coefficients[k]) *
                  in_its_unit(batch.sample(i) + t * batch.row_stride(), d, j);
    for (std::size_t j = 0; form == Form::query_span && j < d; ++j)
      row[j] = static_cast<double>(lanes ? coefficients[j * (coefficients.size() / d) + i]
                                         : coefficients[i * (coefficients.size() / n) + j]);
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t c = 0; c < d; ++c) w[r * d + c] += row[r] * in_its_unit(batch.query(i), d, c);
  }
  return w;
}

/// The distance from `unit` of the direction of one NGD step from `weights`, apart from W itself, which may
/// be too large to show it: of the coefficients, in whichever of their two layouts they are.
template <class T>
double first_step_distance(const BatchView<T>& batch, const std::vector<T>& weights, Form form,
                           const AttentionOptions& how, const std::vector<double>& unit) {
  AttentionModel<T> model(batch, how);
  auto state = initial_state(model, {{weights.begin(), weights.end()}});
  TrainerOptions options;
  options.rules = {parse_rule("ngd:step-size=1")};
  options.form = form;
  options.n_steps = 1;
  options.trace_rows_per_decade = 0;
  train(model, state, options);
  // In float32 the last steps are apart.
  std::vector<T> coefficients = state.span.coefficients;
  for (std::size_t k = 0; k < state.span.recent.size(); ++k) coefficients[k] += state.span.recent[k];
  return std::min(direction_distance(expand(batch, form, coefficients, true), unit),
                  direction_distance(expand(batch, form, coefficients, false), unit));
}

/// How far a direction of a span form may be from the exact one: the gradient's own bound, and beside it the
/// rounding of W's sum of coefficients: n T terms for a row, n rows, and each coefficient once; relative to
/// the sum of their sizes, at most sqrt(n T d) times their sum.
template <class T>
double first_step_bound(const BatchView<T>& batch, const ExactObjective<T>& exact) {
  const auto terms = static_cast<double>(score_tokens(batch).gaps.size());
  return exact.gradient_bound.direction +
         2.0 * unit_roundoff<T> * (terms + 4.0) * std::sqrt(terms * static_cast<double>(batch.dim));
}

}  // namespace softstep::test
