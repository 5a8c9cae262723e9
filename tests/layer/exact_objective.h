#pragma once

// The objective in 520 digits at one W, and the derived bounds of what is compared with it.

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/reference/error_bounds.h"
#include "core/reference/objective.h"
#include "softstep/attention_model.h"
#include "support/exact.h"
#include "support/unit_roundoff.h"

namespace softstep::test {

inline reference::Loss exact_loss(Loss loss) {
  return loss == Loss::logistic ? reference::Loss::logistic : reference::Loss::exponential;
}

/// |m_i - exact| for scores right to delta. m - gamma_a = e^c mu: its error is (8 T + 16) u e^c (1 + |c|) M
/// from the row (error_bounds.h), that of the exponent c, and expm1(2 delta) e^c M from the scores. Beside it
/// stands the rounded gap of the pivot.
inline Exact margin_error(const reference::Sample<Exact>& sample, const reference::SampleValue<Exact>& value,
                          double delta, double u) {
  const auto row = reference::row_magnitude(sample, value.attention);
  const auto& z = value.attention.relative_scores;
  const auto pivot = static_cast<std::size_t>(std::max_element(z.begin(), z.end()) - z.begin());
  Exact error = 4 * 0x1p-53 * sample.gaps[pivot];
  if (std::isinf(row.exponent)) return error;
  const double c = std::fabs(row.exponent), t = static_cast<double>(z.size());
  const double factor = std::expm1(2.0 * delta + u * c) + (8.0 * t + 16.0) * u;
  return error + Exact(1.01 * factor * (1.0 + c) * row.moment) * exp(Exact(row.exponent));
}

template <class T>
struct ExactObjective {
  reference::Problem<Exact> problem;
  std::vector<reference::SampleValue<Exact>> values;
  std::vector<Exact> gradient;
  Exact gradient_norm, loss;
  reference::GradientBound gradient_bound;
  std::vector<double> score_errors;  ///< delta_i
  std::vector<Exact> margin_errors;  ///< bound of |m_i - exact| from the working type, not underflowing

  ExactObjective(const BatchView<T>& batch, const std::vector<T>& w, Loss kind)
      : problem(reference::problem_of<Exact>(batch)),
        values(reference::evaluate(problem, w.data(), exact_loss(kind))),
        gradient(reference::gradient(problem, values)),
        gradient_norm(norm_of(gradient)),
        loss(0) {
    const double u = unit_roundoff<T>;
    if (gradient_norm > 0)
      gradient_bound = reference::gradient_bound(problem, values, w.data(), gradient_norm, u);
    for (std::size_t i = 0; i < values.size(); ++i) {
      loss += reference::loss_value(exact_loss(kind), values[i].margin) / Exact(values.size());
      const double delta = reference::score_error(problem, i, w.data(), u);
      score_errors.push_back(delta);
      margin_errors.push_back(margin_error(problem.samples[i], values[i], delta, u));
    }
  }
};

}  // namespace softstep::test
