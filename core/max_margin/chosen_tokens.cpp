#include "core/max_margin/chosen_tokens.h"

#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/metrics/token_products.h"
#include "softstep/max_margin.h"

namespace softstep {

template <class T>
TokenScores chosen_tokens(const BatchView<T>& batch, const std::vector<std::size_t>& selected) {
  if (selected.empty()) return score_tokens(batch);
  batch.validate();
  if (selected.size() != batch.n_samples)
    throw InvalidArgument("selected", std::to_string(selected.size()) + " tokens (need one for each of the " +
                                          std::to_string(batch.n_samples) + " samples)");
  TokenScores out;
  out.first.push_back(0);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const std::size_t n_tokens = batch.tokens_of(i);
    if (selected[i] >= n_tokens)
      throw InvalidArgument("selected", "sample " + std::to_string(i) + ": " + std::to_string(selected[i]) +
                                            " (need 0 to " + std::to_string(n_tokens - 1) + ")");
    out.first.push_back(out.first.back() + n_tokens);
  }
  out.gaps.assign(out.first.back(), 0.0);
  out.optimal_score.assign(batch.n_samples, 0.0);
  out.optimal = selected;
  return out;
}

namespace {

template <class T, class W>
std::vector<std::size_t> best_tokens(const BatchView<T>& batch, std::span<const W> weights) {
  batch.validate();
  require_weights(batch, weights);
  std::vector<std::size_t> out;
  std::vector<double> v(batch.dim), s;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    project(batch, i, weights, v);
    score_sample(batch, i, v, s);
    std::size_t best = 0;
    for (std::size_t t = 0; t < s.size(); ++t) {
      if (!std::isfinite(s[t]))
        throw InvalidArgument("weights", "sample " + std::to_string(i) + ", token " + std::to_string(t) +
                                             ": its score is " + data::number_text(s[t]));
      if (s[t] > s[best]) best = t;
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
