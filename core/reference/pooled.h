#pragma once

// The objective of samples with several queries, in a number type of the caller's choice, from its
// definition:
//
//   m_i = sum_q w_iq y_i u^T X_i^T p_iq           p_iq = softmax(X_i W z_iq)
//   S_i gamma_i,opt - m_i = sum_q w_iq (gamma_i,opt - m_iq),     S_i = sum_q w_iq
//   dL/dW = (1/n) sum_i l'(m_i) sum_q w_iq (sum_t r_iqt x_it) z_iq^T
//
// Every query is a sample of objective.h, a row, whose slope is that of the sample it belongs to.

#include <cstddef>
#include <utility>
#include <vector>

#include "core/reference/objective.h"

namespace softstep::reference {

template <class Number>
struct PooledProblem {
  Problem<Number> rows;                       ///< a sample for each query
  std::vector<std::size_t> first;             ///< [n + 1] rows of each sample
  std::vector<Number> weights, total_weight;  ///< w by row, S by sample
  std::size_t n_samples() const { return total_weight.size(); }
};

template <class Number, class Batch>
PooledProblem<Number> pooled_problem_of(const Batch& batch) {
  PooledProblem<Number> out;
  Batch one = batch;  // every sample with its first query, to be replaced
  one.queries = nullptr;
  one.query_index = nullptr;
  one.all_tokens_are_queries = false;
  one.n_queries = 1;
  one.query_offsets = {};
  one.query_weights = {};
  const Problem<Number> samples = problem_of<Number>(one);
  out.rows.dim = batch.dim;
  out.first.push_back(0);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    Number total(0);
    const std::size_t m = batch.queries_of(i);
    for (std::size_t q = 0; q < m; ++q) {
      Sample<Number> row = samples.samples[i];
      for (std::size_t j = 0; j < batch.dim; ++j) row.query[j] = Number(batch.query(i, q)[j]);
      out.weights.push_back(batch.query_weights.empty() ? Number(Number(1) / Number(m))
                                                        : Number(batch.query_weight(i, q)));
      total += out.weights.back();
      out.rows.samples.push_back(std::move(row));
    }
    out.total_weight.push_back(batch.query_weights.empty() ? Number(1) : total);
    out.first.push_back(out.rows.samples.size());
  }
  return out;
}

/// Every row at W, with the margin and the slope of its sample, its weight in the slope.
template <class Number, class T>
std::vector<SampleValue<Number>> evaluate(const PooledProblem<Number>& problem, const T* w, Loss loss) {
  using std::exp;
  std::vector<SampleValue<Number>> values;
  for (std::size_t row = 0; row < problem.rows.samples.size(); ++row)
    values.push_back(sample_value(problem.rows, row, w, loss));
  const std::size_t d = problem.rows.dim;
  for (std::size_t i = 0; i < problem.n_samples(); ++i) {
    const std::size_t begin = problem.first[i], end = problem.first[i + 1];
    Number m(0);
    for (std::size_t row = begin; row < end; ++row) m += problem.weights[row] * values[row].margin;
    for (std::size_t row = begin; row < end; ++row) {
      SampleValue<Number>& value = values[row];
      const Sample<Number>& sample = problem.rows.samples[row];
      value.margin = m;
      value.slope_shift = loss == Loss::exponential || m > 0 ? m : Number(0);
      value.slope = problem.weights[row] / Number(problem.n_samples());
      if (loss == Loss::logistic) value.slope /= 1 + exp(Number(m > 0 ? Number(-m) : m));
      value.weights = gradient_weights(value.attention, sample.gaps.data(), value.slope_shift);
      for (Number& weight : value.weights) weight *= -value.slope;
      value.row = weighted_sum(sample.tokens.data(), d, sample.n_tokens, d, value.weights.data());
    }
  }
  return values;
}

}  // namespace softstep::reference
