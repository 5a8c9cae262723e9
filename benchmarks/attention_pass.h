#pragma once

// The attention pass over all samples of a shape, whoever makes it: verification, counters, registration.

#include <algorithm>

#include "contenders.h"
#include "core/reference/attention.h"
#include "data.h"

namespace softstep::bench {

// Worst entry of one sample's gradient row, times e^exponent, over its bound. Scores err by at most
// score_roundings u sum_j |x_tj v_j| each, so the exponentials of a pair by four times that and a few
// roundings (and those of the baselines' exponential), and the sums over tokens by T u more; all relative to
// the sum of the absolute pairs, which in the textbook form are p_t p_k (gap_t + gap_k).
template <class T>
double worst_over_bound(const simd::AttentionArgs<T>& in, double exponent, bool textbook,
                        double score_roundings) {
  const std::vector<long double> v(in.projected_query, in.projected_query + in.dim);
  const std::vector<long double> gaps(in.score_gaps, in.score_gaps + in.n_tokens);
  const auto s = reference::scores<long double>(in.tokens, in.token_stride, in.n_tokens, in.dim, v.data());
  const auto exact = reference::attention<long double>(in.n_tokens, s.data(), gaps.data(), in.optimal);
  const auto weights =
      reference::gradient_weights<long double>(exact, gaps.data(), static_cast<long double>(exponent));
  const auto row =
      reference::weighted_sum<long double>(in.tokens, in.token_stride, in.n_tokens, in.dim, weights.data());
  long double score_size = 0;
  std::vector<long double> size(in.dim, 0);
  const long double scale = std::exp(-static_cast<long double>(exponent));
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.token_stride;
    long double products = 0, pairs = 0;
    for (std::size_t j = 0; j < in.dim; ++j) products += std::fabs(x[j] * v[j]);
    for (std::size_t k = 0; k < in.n_tokens; ++k)
      pairs += exact.attention[t] * exact.attention[k] * scale *
               (textbook ? gaps[t] + gaps[k] : std::fabs(gaps[t] - gaps[k]));
    for (std::size_t j = 0; j < in.dim; ++j) size[j] += pairs * std::fabs(static_cast<long double>(x[j]));
    score_size = std::max(score_size, products);
  }
  const double factor = unit_roundoff<T> * (4 * score_roundings * static_cast<double>(score_size) +
                                            2 * static_cast<double>(in.n_tokens) + 40);
  double worst = 0.0;
  for (std::size_t j = 0; j < in.dim; ++j)
    worst = worse(worst, std::fabs(static_cast<double>(in.gradient[j] - row[j])) /
                             (factor * static_cast<double>(size[j])));
  return worst;
}

template <class T, class Pass>
void measure_attention(benchmark::State& state, const std::string& name, const Contender<T>& c,
                       const Shape& shape, Pass pass, bool textbook) {
  Layer<T>& in = layer<T>(shape);
  const auto one = [&](std::size_t i) {
    const simd::AttentionArgs<T> args = in.args(i);
    simd::AttentionStats<T> stats;
    pass(c, &args, 1, &stats);
    return static_cast<double>(stats.exponent);
  };
  const auto check = [&] {
    double worst = 0.0;
    for (std::size_t i = 0; i < std::min<std::size_t>(shape.n_samples, 5); ++i) {
      std::fill_n(in.gradient.begin() + static_cast<std::ptrdiff_t>(i * shape.dim), shape.dim,
                  std::numeric_limits<T>::quiet_NaN());
      worst = worse(worst, worst_over_bound(in.args(i), one(i), textbook || c.isa == nullptr,
                                            static_cast<double>(shape.dim + 1)));
    }
    return worst;
  };
  if (!verified_once(state, name, check)) return;
  const auto args = [&](std::size_t i) { return in.args(i); };
  for (auto _ : state)
    in.attend(args, [&](const simd::AttentionArgs<T>* samples, std::size_t n,
                        simd::AttentionStats<T>* stats) { pass(c, samples, n, stats); });
  const auto elements = static_cast<double>(shape.n_samples * shape.n_tokens * shape.dim);
  const double bytes = elements * sizeof(T);
  count(state, {4 * elements, c.peak(), bytes, read_bandwidth(level_of(bytes))});
}

/// `pass`: samples by a contender, from (contender, samples, their number, stats), of which it sets the
/// exponent that the gradient row comes without. `textbook`: kernels whose row is rounded as in the form p
/// (gamma - m).
template <class Pass>
bool register_attention(const std::string& kernel_name, Pass pass, bool textbook = false) {
  for (const Shape& shape : shapes)
    for_each_contender(kernel_name, [&]<class T>(const Contender<T>& c, const std::string& variant) {
      if (textbook && c.isa == nullptr) return;  // they are textbook as they stand
      const std::string label = variant + "/" + name(shape);
      enlist(label, [=](benchmark::State& s) { measure_attention<T>(s, label, c, shape, pass, textbook); });
    });
  return true;
}

}  // namespace softstep::bench
