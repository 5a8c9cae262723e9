// The attention kernel with one sample to a lane, beside `attention` on the same shapes: small samples.

#include <algorithm>

#include "data.h"
#include "limits/limits.h"

namespace softstep::bench {
namespace {

template <class T>
struct Packed {
  static constexpr std::size_t m = simd::lane_multiple<T>;
  std::size_t n_tokens, dim, n_lanes;
  std::vector<T> tokens, projected, gaps, optimal, gradient, weights, stats;

  Packed(Layer<T>& layer, const Shape& shape)
      : n_tokens(shape.n_tokens),
        dim(shape.dim),
        n_lanes((shape.n_samples + m - 1) / m * m),
        tokens(n_tokens * dim * n_lanes),
        projected(dim * n_lanes),
        gaps(n_tokens * n_lanes, std::numeric_limits<T>::quiet_NaN()),
        optimal(n_lanes),
        gradient(dim * n_lanes),
        weights(n_tokens * n_lanes),
        stats(8 * n_lanes) {
    for (std::size_t i = 0; i < shape.n_samples; ++i) {
      const auto in = layer.args(i);
      optimal[i] = static_cast<T>(in.optimal);
      for (std::size_t j = 0; j < dim; ++j) projected[j * n_lanes + i] = in.projected_query[j];
      for (std::size_t t = 0; t < n_tokens; ++t) {
        gaps[t * n_lanes + i] = in.score_gaps[t];
        for (std::size_t j = 0; j < dim; ++j)
          tokens[((i / m * n_tokens + t) * dim + j) * m + i % m] = in.tokens[t * in.token_stride + j];
      }
    }
  }
  simd::LanesArgs<T> args() {
    T* s = stats.data();
    return {tokens.data(),
            n_lanes,
            n_tokens,
            dim,
            0,
            n_lanes,
            projected.data(),
            gaps.data(),
            optimal.data(),
            gradient.data(),
            weights.data(),
            s,
            s + n_lanes,
            s + 2 * n_lanes,
            s + 3 * n_lanes,
            s + 4 * n_lanes,
            s + 5 * n_lanes,
            s + 6 * n_lanes,
            s + 7 * n_lanes};
  }
};

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa, const Shape& shape) {
  Layer<T>& in = layer<T>(shape);
  Packed<T> packed(in, shape);
  const auto& kernels = isa.kernels<T>();
  kernels.attention_lanes(packed.args());
  // Against `attention` in double, which has its own check: two evaluations of one formula whose scores,
  // below 50, err by (d + 1) u each, so that terms err by e^(4 d u 50) and T + 40 roundings.
  double worst = 0.0;
  for (std::size_t i = 0; i < shape.n_samples; ++i) {
    kernels.attention_of(in.args(i));
    const T* row = in.gradient.data() + i * shape.dim;
    T largest = 0;
    for (std::size_t j = 0; j < shape.dim; ++j) largest = std::max(largest, std::fabs(row[j]));
    for (std::size_t j = 0; j < shape.dim; ++j)
      worst = worse(worst, std::fabs(static_cast<double>(packed.gradient[j * packed.n_lanes + i] - row[j])) /
                               (static_cast<double>(largest) * static_cast<double>(shape.n_tokens)));
  }
  const double bound = unit_roundoff<T> * (400 * static_cast<double>(shape.dim + 1) +
                                           2 * static_cast<double>(shape.n_tokens) + 80);
  if (!verified(state, worst, bound)) return;
  for (auto _ : state) {
    kernels.attention_lanes(packed.args());
    benchmark::ClobberMemory();
  }
  const auto elements = static_cast<double>(shape.n_samples * shape.n_tokens * shape.dim);
  const double bytes = elements * sizeof(T);
  count(state, {4 * elements, peak_flops<T>(isa), bytes, read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for (const Shape& shape : shapes) {
    if (shape.n_tokens * shape.dim > 2000) continue;
    for_each_kernel_variant("attention_lanes", [&]<class T>(const simd::Isa& isa,
                                                            const std::string& variant) {
      enlist(variant + "/" + name(shape), [&isa, shape](benchmark::State& s) { measure<T>(s, isa, shape); });
    });
  }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
