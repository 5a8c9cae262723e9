#include "core/max_margin/constraints/chosen_tokens.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/max_margin/constraints/range.h"
#include "core/metrics/token_products.h"
#include "softstep/max_margin.h"

namespace softstep {

template <class T>
TokenScores chosen_tokens(const BatchView<T>& batch, const std::vector<std::size_t>& selected) {
  if (selected.empty()) {
    TokenScores scores = score_tokens(batch);
    return data::scores_by_row(data::BatchRows<T>(batch), std::move(scores));
  }
  batch.validate();
  const data::BatchRows<T> rows(batch);
  TokenScores out;
  out.optimal = choice_by_row(rows, selected, "selected");
  out.first.push_back(0);
  for (std::size_t row = 0; row < rows.size(); ++row)
    out.first.push_back(out.first.back() + rows.tokens_of(row));
  out.gaps.assign(out.first.back(), 0.0);
  out.optimal_score.assign(rows.size(), 0.0);
  return out;
}

namespace {

// Weights, query, their product and the tokens each times a power of two where they are near the ends of the
// range of double, in which products of them would lose digits or overflow.
template <class T, class W>
std::vector<std::size_t> best_tokens(const BatchView<T>& batch, std::span<const W> weights) {
  batch.validate();
  require_weights(batch, weights);
  const data::BatchRows<T> rows(batch);
  const std::size_t d = batch.dim;
  std::vector<std::size_t> out;
  std::vector<double> w(weights.begin(), weights.end()), z(d), v(d);
  scale_towards_one(w.data(), w.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    z.assign(rows.query(row), rows.query(row) + d);
    scale_towards_one(z.data(), d);
    for (std::size_t r = 0; r < d; ++r)
      v[r] = sum_over(d, [&](std::size_t c) { return w[r * d + c] * z[c]; });
    scale_towards_one(v.data(), d);
    const auto token = [&](std::size_t t) { return rows.token(row, t); };
    double largest = 0.0;
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t)
      for (std::size_t j = 0; j < d; ++j)
        largest = std::max(largest, std::fabs(static_cast<double>(token(t)[j])));
    const double scale = std::ldexp(1.0, exponent_towards_one(largest));
    std::size_t best = 0;
    double most = 0.0;
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t) {
      const double score =
          sum_over(d, [&](std::size_t j) { return scale * static_cast<double>(token(t)[j]) * v[j]; });
      if (!std::isfinite(score))
        throw InvalidArgument("weights", "sample " + std::to_string(rows.sample_of(row)) + ", token " +
                                             std::to_string(t) + ": its score is " +
                                             data::number_text(score));
      if (t == 0 || score > most) {
        best = t;
        most = score;
      }
    }
    out.push_back(best);
  }
  return out;
}

}  // namespace

template <NumberType T>
std::vector<std::size_t> selected_tokens(const BatchView<T>& batch, std::span<const float> weights) {
  return best_tokens(batch, weights);
}
template <NumberType T>
std::vector<std::size_t> selected_tokens(const BatchView<T>& batch, std::span<const double> weights) {
  return best_tokens(batch, weights);
}

template TokenScores chosen_tokens(const BatchView<float>&, const std::vector<std::size_t>&);
template TokenScores chosen_tokens(const BatchView<double>&, const std::vector<std::size_t>&);
template std::vector<std::size_t> selected_tokens(const BatchView<float>&, std::span<const float>);
template std::vector<std::size_t> selected_tokens(const BatchView<float>&, std::span<const double>);
template std::vector<std::size_t> selected_tokens(const BatchView<double>&, std::span<const float>);
template std::vector<std::size_t> selected_tokens(const BatchView<double>&, std::span<const double>);

}  // namespace softstep
