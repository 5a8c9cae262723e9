#pragma once

// What a dense step consists of, each part by itself on the data of the shape, one thread.

#include <algorithm>
#include <chrono>

#include "data.h"

namespace softstep::bench {

/// Seconds per step.
struct StepParts {
  double products;   ///< V = Z W^T and G = g^T Z
  double attention;  ///< the fused pass over all samples
  double update;     ///< W += a G
};

/// Seconds per call, the best of three rounds of at least 3 ms.
template <class Part>
double seconds_of(Part part) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 3; ++round) {
    std::size_t n = 0, batch = 1;
    double seconds = 0;
    const auto begin = Clock::now();
    while (seconds < 3e-3) {
      for (std::size_t k = 0; k < batch; ++k) part();
      n += batch;
      batch *= 2;
      seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    best = std::min(best, seconds / static_cast<double>(n));
  }
  return best;
}

template <class T>
StepParts measure_parts(const simd::Isa& isa, const Shape& shape) {
  const auto& kernels = isa.kernels<T>();
  Layer<T>& in = layer<T>(shape);
  const std::size_t n = shape.n_samples, d = shape.dim;
  // Rows apart as in the objective: whole cache lines, no multiple of 4 KiB.
  constexpr std::size_t line = 64 / sizeof(T), page = 4096 / sizeof(T);
  std::size_t stride = (d + line - 1) / line * line;
  if (stride % page == 0) stride += line;
  const std::vector<T> z = uniform<T>(n * stride, -1, 1, 3), rows = uniform<T>(n * stride, -1, 1, 4);
  std::vector<T> v(n * stride), w = uniform<T>(d * d, -1, 1, 5), g(d * d);
  StepParts out;
  out.products = seconds_of([&] {
    kernels.product_nn({n, d, d, z.data(), stride, w.data(), d, v.data(), stride});
    kernels.product_tn({d, d, n, rows.data(), stride, z.data(), stride, g.data(), d});
    benchmark::ClobberMemory();
  });
  out.attention =
      seconds_of([&] { in.attend([&](std::size_t i) { return in.args(i); }, kernels.attention); });
  out.update = seconds_of([&] {
    kernels.axpy(d * d, T(1e-6), g.data(), w.data());
    benchmark::ClobberMemory();
  });
  return out;
}

}  // namespace softstep::bench
