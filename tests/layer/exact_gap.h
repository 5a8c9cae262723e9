#pragma once

// The loss gap in 520 digits.

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/reference/error_bounds.h"
#include "layer/exact_objective.h"

namespace softstep::test {

struct Gap {
  Exact value, bound;
};

// The gap and how far it may be off. The margin's error passes through l with slope |l'|, at most e^error
// larger nearby; each term is rounded some 16 times in double, and so is its exponent c - gamma_opt.
inline Gap exact_gap(const reference::Problem<Exact>& problem,
                     const std::vector<reference::SampleValue<Exact>>& values,
                     const std::vector<Exact>& margin_errors, Loss kind, OptimalLoss mode, double value) {
  const double u = 0x1p-53;
  const auto loss = exact_loss(kind);
  const Exact n(values.size());
  Gap out{Exact(0), Exact(0)};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto& sample = problem.samples[i];
    const auto& v = values[i];
    const auto& z = v.attention.relative_scores;
    const auto pivot = static_cast<std::size_t>(std::max_element(z.begin(), z.end()) - z.begin());
    Exact term, from_pivot(0);
    for (std::size_t t = 0; t < z.size(); ++t)
      from_pivot += v.attention.attention[t] * (sample.gaps[t] - sample.gaps[pivot]);
    const Exact pivot_score = sample.optimal_score - sample.gaps[pivot];
    switch (mode) {
      case OptimalLoss::optimal:
        term = reference::loss_difference(loss, sample.optimal_score, v.attention.gap_to_optimal);
        break;
      case OptimalLoss::selected:
        term = reference::loss_difference(loss, pivot_score, from_pivot);
        break;
      case OptimalLoss::value:
      case OptimalLoss::zero:
        term = reference::loss_value(loss, v.margin);
    }
    out.value += term / n;
    const Exact slope = v.slope * exp(Exact(-v.slope_shift));  // -l'(m) / n
    const Exact exponent = Exact(1) + abs(sample.optimal_score) + abs(sample.gaps[pivot]) -
                           z[sample.optimal] +
                           abs(reference::other_exponent(v.attention, sample.gaps.data()));
    out.bound += slope * margin_errors[i] * exp(margin_errors[i]) + 16 * u * exponent * abs(term) / n;
    if (mode == OptimalLoss::selected || mode == OptimalLoss::optimal) {
      // gamma_opt and gamma_a are rounded to double before the loss is taken: |d log l'| <= 1.
      out.bound += 4 * u * exponent * abs(term) / n;
    } else {
      out.bound += 4 * u * exponent * slope;
    }
  }
  if (mode == OptimalLoss::value) {
    out.bound += 4 * u * (abs(out.value) + std::fabs(value));
    out.value -= Exact(value);
  }
  out.bound *= Exact(1.01);
  return out;
}

}  // namespace softstep::test
