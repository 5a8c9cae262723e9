#pragma once

// The objective of a whole batch in a number type of the caller's choice, from the attention of each sample:
//
//   gamma_it = y_i u . x_it         m_i = gamma_i,opt - (gap of the sample)
//   L = (1/n) sum_i l(m_i)          L - L* = (1/n) sum_i l(m_i) - l(gamma_i,opt)
//   dL/dW = (1/n) sum_i l'(m_i) (sum_t r_it x_it) z_i^T
//
// A batch is whatever has the members of softstep::BatchView.

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/reference/attention.h"
#include "core/reference/small_arguments.h"

namespace softstep::reference {

enum class Loss { logistic, exponential };

template <class Number>
struct Sample {
  std::size_t n_tokens = 0, optimal = 0;
  std::vector<Number> tokens, query, gaps;
  Number optimal_score;
};

template <class Number>
struct Problem {
  std::size_t dim = 0;
  std::vector<Sample<Number>> samples;
};

/// Copies a batch and scores its tokens.
template <class Number, class Batch>
Problem<Number> problem_of(const Batch& batch) {
  Problem<Number> out;
  const std::size_t d = out.dim = batch.dim;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    Sample<Number> sample;
    sample.n_tokens = batch.tokens_of(i);
    for (std::size_t j = 0; j < d; ++j) sample.query.push_back(Number(batch.query(i)[j]));
    for (std::size_t t = 0; t < sample.n_tokens; ++t) {
      const auto* x = batch.sample(i) + t * batch.row_stride();
      Number score(0);
      for (std::size_t j = 0; j < d; ++j) {
        sample.tokens.push_back(Number(x[j]));
        score += Number(x[j]) * Number(batch.decoder[j]);
      }
      sample.gaps.push_back(batch.labels[i] < 0 ? Number(-score) : score);  // the score itself for now
      if (sample.gaps[t] > sample.gaps[sample.optimal]) sample.optimal = t;
    }
    sample.optimal_score = sample.gaps[sample.optimal];
    for (Number& gap : sample.gaps) gap = sample.optimal_score - gap;
    out.samples.push_back(sample);
  }
  return out;
}

template <class Number>
Number loss_value(Loss loss, const Number& m) {
  using std::exp;
  if (loss == Loss::exponential) return exp(Number(-m));
  return m > 0 ? log_one_plus(Number(exp(Number(-m)))) : Number(-m + log_one_plus(Number(exp(m))));
}

/// l(gamma - delta) - l(gamma) for delta of either sign, however small.
template <class Number>
Number loss_difference(Loss loss, const Number& gamma, const Number& delta) {
  using std::exp;
  if (loss == Loss::exponential) return exp(Number(-gamma)) * exp_minus_one(delta);
  return log_one_plus(Number(exp_minus_one(delta) / (1 + exp(gamma))));
}

/// What the optimisation sees of one sample.
template <class Number>
struct SampleValue {
  std::vector<Number> projected_query;  ///< v = W z
  Attention<Number> attention;
  Number margin;                ///< m
  Number slope, slope_shift;    ///< -l'(m) e^-shift / n = slope e^-slope_shift
  std::vector<Number> weights;  ///< l'(m) r_t e^-shift / n
  std::vector<Number> row;      ///< sum_t weights_t x_t
};

/// One sample whose scores are x_t . v. The samples of the problem share the mean.
template <class Number>
SampleValue<Number> sample_value_at(const Problem<Number>& problem, std::size_t i,
                                    const std::vector<Number>& v, Loss loss,
                                    const Number& shift = Number(0)) {
  using std::exp;
  const std::size_t d = problem.dim;
  const Sample<Number>& sample = problem.samples[i];
  SampleValue<Number> out;
  out.projected_query = v;
  const std::vector<Number> s = scores(sample.tokens.data(), d, sample.n_tokens, d, v.data());
  out.attention = attention(sample.n_tokens, s.data(), sample.gaps.data(), sample.optimal);
  const Number& m = out.margin = sample.optimal_score - out.attention.gap_to_optimal;
  // -l'(m) = e^-m / (1 + e^-m) or e^-m: a positive margin goes into the exponent.
  out.slope_shift = loss == Loss::exponential || m > 0 ? Number(shift + m) : shift;
  out.slope = Number(1) / Number(problem.samples.size());
  if (loss == Loss::logistic) out.slope /= 1 + exp(Number(m > 0 ? Number(-m) : m));
  out.weights = gradient_weights(out.attention, sample.gaps.data(), out.slope_shift);
  for (Number& weight : out.weights) weight *= -out.slope;
  out.row = weighted_sum(sample.tokens.data(), d, sample.n_tokens, d, out.weights.data());
  return out;
}

/// One sample at W (dim x dim, row-major).
template <class Number, class T>
SampleValue<Number> sample_value(const Problem<Number>& problem, std::size_t i, const T* w, Loss loss,
                                 const Number& shift = Number(0)) {
  const std::size_t d = problem.dim;
  std::vector<Number> v(d, Number(0));
  for (std::size_t r = 0; r < d; ++r)
    for (std::size_t c = 0; c < d; ++c) v[r] += Number(w[r * d + c]) * problem.samples[i].query[c];
  return sample_value_at(problem, i, v, loss, shift);
}

/// dL/dW e^-shift from the values of all samples: sum_i row_i z_i^T.
template <class Number>
std::vector<Number> gradient(const Problem<Number>& problem, const std::vector<SampleValue<Number>>& values) {
  const std::size_t d = problem.dim;
  std::vector<Number> g(d * d, Number(0));
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t r = 0; r < d; ++r)
      for (std::size_t c = 0; c < d; ++c) g[r * d + c] += values[i].row[r] * problem.samples[i].query[c];
  return g;
}

/// Every sample at W.
template <class Number, class T>
std::vector<SampleValue<Number>> evaluate(const Problem<Number>& problem, const T* w, Loss loss,
                                          const Number& shift = Number(0)) {
  std::vector<SampleValue<Number>> values;
  for (std::size_t i = 0; i < problem.samples.size(); ++i)
    values.push_back(sample_value(problem, i, w, loss, shift));
  return values;
}

}  // namespace softstep::reference
