// The fused attention kernel over all samples of a shape: scores, pivot softmax, gap and gradient row, X_i
// from memory once.

#include <algorithm>

#include "core/reference/attention.h"
#include "shapes.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
struct Layer {
  Shape shape;
  std::vector<T> tokens, projected, gaps, gradient, scores, weights;

  explicit Layer(const Shape& s)
      : shape(s),
        tokens(uniform<T>(s.n_samples * s.n_tokens * s.dim, -1, 1, 1)),
        projected(uniform<T>(s.n_samples * s.dim, -1, 1, 2)),
        gaps(uniform<T>(s.n_samples * s.n_tokens, 0.1, 2, 3)),
        gradient(s.n_samples * s.dim),
        scores(s.n_tokens),
        weights(s.n_tokens) {
    // Scores of size 1 to 10, as in the middle of a run; token i mod T of sample i is optimal.
    const double scale = 10 / std::sqrt(static_cast<double>(s.dim));
    for (T& v : projected) v *= static_cast<T>(scale);
    for (std::size_t i = 0; i < s.n_samples; ++i) gaps[i * s.n_tokens + i % s.n_tokens] = 0;
  }
  simd::AttentionArgs<T> args(std::size_t i) {
    const std::size_t t = shape.n_tokens, d = shape.dim;
    return {tokens.data() + i * t * d,
            d,
            t,
            d,
            projected.data() + i * d,
            gaps.data() + i * t,
            i % t,
            gradient.data() + i * d,
            scores.data(),
            weights.data()};
  }
};

// Worst entry of one sample's gradient row over its bound. Scores err by at most (d + 1) u sum_j |x_tj v_j|
// each, so the exponentials of a pair by four times that and a few roundings, and the sums over tokens by T u
// more; all relative to the sum of the absolute pairs.
template <class T>
double worst_over_bound(Layer<T>& layer, std::size_t i, const simd::AttentionStats<T>& stats) {
  const auto in = layer.args(i);
  const std::vector<long double> v(in.projected_query, in.projected_query + in.dim);
  const std::vector<long double> gaps(in.score_gaps, in.score_gaps + in.n_tokens);
  const auto s = reference::scores<long double>(in.tokens, in.token_stride, in.n_tokens, in.dim, v.data());
  const auto exact = reference::attention<long double>(in.n_tokens, s.data(), gaps.data(), in.optimal);
  const auto weights = reference::gradient_weights<long double>(exact, gaps.data(), stats.exponent);
  const auto row =
      reference::weighted_sum<long double>(in.tokens, in.token_stride, in.n_tokens, in.dim, weights.data());
  long double score_size = 0;
  std::vector<long double> size(in.dim, 0);
  const long double scale = std::exp(-static_cast<long double>(stats.exponent));
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    const T* x = in.tokens + t * in.token_stride;
    long double products = 0, pairs = 0;
    for (std::size_t j = 0; j < in.dim; ++j) products += std::fabs(x[j] * v[j]);
    for (std::size_t k = 0; k < in.n_tokens; ++k)
      pairs += exact.attention[t] * exact.attention[k] * std::fabs(gaps[t] - gaps[k]) * scale;
    for (std::size_t j = 0; j < in.dim; ++j) size[j] += pairs * std::fabs(static_cast<long double>(x[j]));
    score_size = std::max(score_size, products);
  }
  const double factor =
      unit_roundoff<T> * (4 * static_cast<double>(in.dim + 1) * static_cast<double>(score_size) +
                          2 * static_cast<double>(in.n_tokens) + 40);
  double worst = 0.0;
  for (std::size_t j = 0; j < in.dim; ++j) {
    const double ratio =
        std::fabs(static_cast<double>(in.gradient[j] - row[j])) / (factor * static_cast<double>(size[j]));
    if (!(ratio <= worst)) worst = ratio;
    if (std::isnan(ratio)) return ratio;
  }
  return worst;
}

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa, const Shape& shape) {
  Layer<T> layer(shape);
  const auto& kernels = isa.kernels<T>();
  for (std::size_t i = 0; i < std::min<std::size_t>(shape.n_samples, 5); ++i)
    if (!verified(state, worst_over_bound(layer, i, kernels.attention(layer.args(i))), 1.0)) return;
  for (auto _ : state) {
    for (std::size_t i = 0; i < shape.n_samples; ++i)
      benchmark::DoNotOptimize(kernels.attention(layer.args(i)));
    benchmark::ClobberMemory();
  }
  const auto elements = static_cast<double>(shape.n_samples * shape.n_tokens * shape.dim);
  count(state, 4 * elements, elements * sizeof(T));
}

const bool registered = [] {
  for (const Shape& shape : shapes)
    for_each_kernel_variant("attention", [&]<class T>(const simd::Isa& isa, const std::string& variant) {
      benchmark::RegisterBenchmark((variant + "/" + name(shape)).c_str(),
                                   [&isa, shape](benchmark::State& s) { measure<T>(s, isa, shape); });
    });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
