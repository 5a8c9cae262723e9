// What W does to a batch: margins in any norm, support sets, sparsity of attention.

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>

#include "core/data/extremes.h"
#include "core/data/text.h"
#include "core/metrics/token_products.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

using data::smaller;

template <class T, class W>
std::vector<double> values_of(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                              std::span<const W> weights) {
  batch.validate();
  const data::BatchRows<T> rows(batch);
  const std::vector<std::size_t> best_of = choice_by_row(rows, chosen);
  require_weights(batch, weights);
  std::vector<double> out, v(batch.dim);
  RowsAhead<T> ahead(rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    ahead.reading(row);
    project(rows, row, weights, v);
    const T* best = rows.token(row, best_of[row]);
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t) {
      const T* x = rows.token(row, t);
      out.push_back(t == best_of[row] ? infinity : sum_over(batch.dim, [&](std::size_t j) {
        return (static_cast<double>(best[j]) - static_cast<double>(x[j])) * v[j];
      }));
    }
  }
  return out;
}

template <class T, class W>
std::vector<double> margins_of(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                               std::span<const W> weights) {
  const std::vector<double> values = values_of(batch, chosen, weights);
  std::vector<double> out;
  std::size_t k = 0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    double smallest = infinity;
    const std::size_t end = k + batch.queries_of(i) * batch.tokens_of(i);
    while (k < end) smallest = smaller(smallest, values[k++]);
    out.push_back(smallest);
  }
  return out;
}

// Of weights whose norm is far from the ends of the range.
template <class T, class W>
double smallest_margin_near(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                            std::span<const W> weights, MatrixNorm norm, double p) {
  double smallest = infinity;
  for (const double margin : margins_of(batch, chosen, weights)) smallest = smaller(smallest, margin);
  return smallest / matrix_norm(weights, batch.dim, batch.dim, norm, p);
}

template <class T, class W>
double smallest_margin(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,
                       std::span<const W> weights, MatrixNorm norm, double p) {
  const int power = power_towards_one(frobenius_norm(weights));
  if (power == 0) return smallest_margin_near(batch, chosen, weights, norm, p);
  return smallest_margin_near(batch, chosen, std::span<const double>(times_power(weights, power)), norm, p);
}

template <class T, class W>
AttentionSparsity sparsity_of(const BatchView<T>& batch, std::span<const W> weights, double level) {
  batch.validate();
  require_weights(batch, weights);
  if (!(level > 0.0) || !(level < 1.0))
    throw InvalidArgument("level", data::number_text(level) + " (need a number between 0 and 1)");
  AttentionSparsity out;
  const data::BatchRows<T> rows(batch);
  std::vector<double> v(batch.dim), s;
  double n_below = 0.0;
  RowsAhead<T> ahead(rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    ahead.reading(row);
    project(rows, row, weights, v);
    score_row(rows, row, v, s);
    const double entropy = attention_entropy(s), share = rows.share(row);
    const double pivot = *std::max_element(s.begin(), s.end());
    double sum = 0.0;
    std::size_t below = 0;
    for (const double score : s) sum += std::exp(score - pivot);
    for (const double score : s) below += std::exp(score - pivot) < level * sum;
    n_below += share * static_cast<double>(below);
    out.mean_entropy += share * entropy;
    out.mean_effective_tokens += share * std::exp(entropy);
  }
  out.mean_entropy /= static_cast<double>(batch.n_samples);
  out.mean_effective_tokens /= static_cast<double>(batch.n_samples);
  out.fraction_below =
      std::isnan(out.mean_entropy) ? out.mean_entropy : n_below / static_cast<double>(batch.total_tokens());
  return out;
}

}  // namespace

std::vector<std::size_t> support_of_values(const std::vector<double>& values, double relative_tolerance) {
  if (!(relative_tolerance >= 0.0) || !std::isfinite(relative_tolerance))
    throw InvalidArgument("relative_tolerance",
                          data::number_text(relative_tolerance) + " (need a finite number of at least 0)");
  double smallest = infinity;
  for (const double value : values) smallest = smaller(smallest, value);
  std::vector<std::size_t> out;
  for (std::size_t k = 0; k < values.size(); ++k)
    if (values[k] - smallest <= relative_tolerance * std::fabs(smallest)) out.push_back(k);
  return out;
}

std::vector<std::size_t> support_of_multipliers(const std::vector<double>& multipliers, double threshold) {
  if (!(threshold >= 0.0) || !(threshold < 1.0))
    throw InvalidArgument("threshold", data::number_text(threshold) + " (need a number from 0 to below 1)");
  double largest = 0.0;
  for (const double l : multipliers) largest = std::max(largest, l);
  std::vector<std::size_t> out;
  for (std::size_t k = 0; k < multipliers.size(); ++k)
    if (multipliers[k] > threshold * largest) out.push_back(k);
  return out;
}

SupportOverlap compare_support(const std::vector<std::size_t>& first,
                               const std::vector<std::size_t>& second) {
  std::vector<std::size_t> common;
  std::set_intersection(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(common));
  SupportOverlap out{first.size(), second.size(), common.size(), 1.0};
  const std::size_t together = first.size() + second.size() - common.size();
  if (together != 0) out.overlap = static_cast<double>(common.size()) / static_cast<double>(together);
  return out;
}

#define SOFTSTEP_INSTANTIATE(T, W)                                                                         \
  template std::vector<double> constraint_values(const BatchView<T>&, const std::vector<std::size_t>&,     \
                                                 std::span<const W>);                                      \
  template std::vector<double> sample_margins(const BatchView<T>&, const std::vector<std::size_t>&,        \
                                              std::span<const W>);                                         \
  template double margin_in_norm(const BatchView<T>&, const std::vector<std::size_t>&, std::span<const W>, \
                                 MatrixNorm, double);                                                      \
  template double margin_in_norm(const BatchView<T>&, const TokenScores&, std::span<const W>, MatrixNorm,  \
                                 double);                                                                  \
  template AttentionSparsity attention_sparsity(const BatchView<T>&, std::span<const W>, double);
#define SOFTSTEP_MARGINS(W)                                                                                \
  template <NumberType T>                                                                                  \
  std::vector<double> constraint_values(const BatchView<T>& batch, const std::vector<std::size_t>& chosen, \
                                        std::span<const W> weights) {                                      \
    return values_of(batch, chosen, weights);                                                              \
  }                                                                                                        \
  template <NumberType T>                                                                                  \
  std::vector<double> sample_margins(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,    \
                                     std::span<const W> weights) {                                         \
    return margins_of(batch, chosen, weights);                                                             \
  }                                                                                                        \
  template <NumberType T>                                                                                  \
  double margin_in_norm(const BatchView<T>& batch, const std::vector<std::size_t>& chosen,                 \
                        std::span<const W> weights, MatrixNorm norm, double p) {                           \
    return smallest_margin(batch, chosen, weights, norm, p);                                               \
  }                                                                                                        \
  template <NumberType T>                                                                                  \
  double margin_in_norm(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> weights,  \
                        MatrixNorm norm, double p) {                                                       \
    return smallest_margin(batch, scores.optimal, weights, norm, p);                                       \
  }                                                                                                        \
  template <NumberType T>                                                                                  \
  AttentionSparsity attention_sparsity(const BatchView<T>& batch, std::span<const W> weights,              \
                                       double level) {                                                     \
    return sparsity_of(batch, weights, level);                                                             \
  }                                                                                                        \
  SOFTSTEP_INSTANTIATE(float, W)                                                                           \
  SOFTSTEP_INSTANTIATE(double, W)
SOFTSTEP_MARGINS(float)
SOFTSTEP_MARGINS(double)
#undef SOFTSTEP_MARGINS
#undef SOFTSTEP_INSTANTIATE

}  // namespace softstep
