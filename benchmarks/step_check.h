#pragma once

// Whether a step of the trainer went where the exact gradient says.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/reference/attention.h"
#include "softstep/softstep.h"
#include "support.h"

namespace softstep::bench {

// Rows l'(m_i) X_i^T r_i / n of the exact gradient, from the definition.
template <class T>
std::vector<std::vector<long double>> gradient_rows(const BatchView<T>& batch, const TokenScores& scores,
                                                    const std::vector<T>& weights) {
  std::vector<std::vector<long double>> rows(batch.n_samples);
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t s = 0; s < static_cast<std::ptrdiff_t>(batch.n_samples); ++s) {
    const auto i = static_cast<std::size_t>(s);
    std::vector<long double> v(batch.dim, 0);
    for (std::size_t r = 0; r < batch.dim; ++r)
      for (std::size_t c = 0; c < batch.dim; ++c)
        v[r] += static_cast<long double>(weights[r * batch.dim + c]) * batch.query(i)[c];
    const std::size_t n_tokens = batch.tokens_of(i);
    const auto token_scores =
        reference::scores<long double>(batch.sample(i), batch.row_stride(), n_tokens, batch.dim, v.data());
    const auto gaps = scores.gaps.begin() + static_cast<std::ptrdiff_t>(scores.first[i]);
    const std::vector<long double> gap(gaps, gaps + static_cast<std::ptrdiff_t>(n_tokens));
    const auto exact =
        reference::attention<long double>(n_tokens, token_scores.data(), gap.data(), scores.optimal[i]);
    const auto row_weights = reference::gradient_weights<long double>(exact, gap.data(), 0.0L);
    rows[i] = reference::weighted_sum<long double>(batch.sample(i), batch.row_stride(), n_tokens, batch.dim,
                                                   row_weights.data());
    const long double margin = scores.optimal_score[i] - exact.gap_to_optimal;
    const long double slope = -1 / (1 + std::exp(margin)) / static_cast<long double>(batch.n_samples);
    for (long double& g : rows[i]) g *= slope;
  }
  return rows;
}

/// Where a rule is after three steps of the dense form from W = 0, as if it were the start of a run: with
/// steps behind it, `auto` would go on in their form.
template <class T>
TrainState<T> early_state(AttentionModel<T>& objective, const std::string& rule) {
  TrainerOptions options;
  options.form = Form::dense;
  options.rules = {parse_rule(rule)};
  options.trace_rows_per_decade = 0;
  options.n_steps = 3;
  TrainState<T> state = initial_state(objective);
  train(objective, state, options);
  state.step = 0;
  return state;
}

/// The exact gradient at a W, to judge steps from there by: made once, as it takes long.
template <class T>
class ExactStep {
 public:
  ExactStep(const BatchView<T>& batch, std::vector<T> weights)
      : batch_(batch),
        weights_(std::move(weights)),
        rows_(gradient_rows(batch, score_tokens(batch), weights_)) {
    AttentionModel<T> objective(batch);
    Evaluation<T> now;
    objective.evaluate(std::span<const T>(weights_), now);
    norm_ = now.gradients[0].norm_scaled().value();
  }

  /// A step to `after` must have gone along the gradient: at about 500 entries the worst distance from
  /// -length G / |G|, over |G|'s rounding bound (8 (d + T) u, softstep/attention_model.h) and that of the
  /// addition.
  double worst_over_bound(const std::vector<T>& after, double length) const {
    const std::size_t d = batch_.dim;
    const double gradient_bound = 8 * static_cast<double>(d + batch_.n_tokens) * length;
    double worst = 0.0;
    for (std::size_t k = 0; k < d * d; k += sample_step(d * d, d)) {
      const auto expected =
          static_cast<double>(weights_[k]) - length * static_cast<double>(entry(k / d, k % d)) / norm_;
      const double bound = unit_roundoff<T> * (gradient_bound + std::fabs(expected));
      worst = worse(worst, std::fabs(static_cast<double>(after[k]) - expected) / bound);
    }
    return worst;
  }

 private:
  long double entry(std::size_t r, std::size_t c) const {
    long double g = 0;
    for (std::size_t i = 0; i < batch_.n_samples; ++i) g += rows_[i][r] * batch_.query(i)[c];
    return g;
  }

  const BatchView<T>& batch_;
  std::vector<T> weights_;
  std::vector<std::vector<long double>> rows_;
  double norm_;
};

}  // namespace softstep::bench
