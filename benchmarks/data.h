#pragma once

// The data of a shape, made once and kept: repetitions and benchmarks of a shape share it (2.1 GB for all
// shapes in both types; the biggest single one is 1 GB).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "shapes.h"
#include "softstep/dataset.h"
#include "support.h"

namespace softstep::bench {

/// `signal_noise` of this shape, seed 0.
template <class T>
const Dataset<T>& signal_noise(const Shape& shape);

/// One layer in the middle of a run, as the attention kernel sees it: scores of a few units, the gaps of the
/// data.
template <class T>
struct Layer {
  const BatchView<T>* batch;
  std::vector<T> projected;  ///< v_i = W z_i, n x d
  std::vector<T> gaps;       ///< n x T
  std::vector<std::size_t> optimal;
  std::vector<T> gradient;         ///< n x d
  std::vector<T> scores, weights;  ///< work space of the samples of one call
  static constexpr std::size_t together = simd::attention_together;  ///< samples in one call, as in a step

  explicit Layer(const BatchView<T>& data);
  /// For the kernels.
  simd::AttentionArgs<T> args(std::size_t i) {
    const std::size_t t = batch->n_tokens, d = batch->dim, space = i % together * t;
    return {batch->sample(i),         batch->row_stride(),   t,          d,
            projected.data() + i * d, gaps.data() + i * t,   optimal[i], gradient.data() + i * d,
            scores.data() + space,    weights.data() + space};
  }
  /// All samples by calls of call(samples, count, stats), each given by args(i).
  template <class Args, class Call>
  void attend(Args args_of, Call call) {
    for (std::size_t i = 0; i < batch->n_samples; i += together) {
      const std::size_t count = std::min(together, batch->n_samples - i);
      simd::AttentionArgs<T> samples[together];
      simd::AttentionStats<T> stats[together];
      for (std::size_t k = 0; k < count; ++k) samples[k] = args_of(i + k);
      call(samples, count, stats);
      benchmark::DoNotOptimize(stats);
    }
    benchmark::ClobberMemory();
  }
};

/// The same layer for every benchmark of a shape; one is kept.
template <class T>
Layer<T>& layer(const Shape& shape);

}  // namespace softstep::bench
