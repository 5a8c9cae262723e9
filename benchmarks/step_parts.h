#pragma once

// What a dense step along the gradient consists of, each part by itself on the data of the shape, one thread.

#include <algorithm>
#include <chrono>
#include <limits>

#include "core/models/attention/attention_parts.h"
#include "core/trainer/forms/choose_form.h"
#include "core/trainer/forms/pass.h"
#include "support.h"

namespace softstep::bench {

/// Seconds per step.
struct StepParts {
  double products;   ///< V = Z W^T, and G = g^T Z or, where G is not formed, W += a g^T Z
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

/// In the layout and with the row strides of the trainer's dense form. `model`: with one thread.
template <class T>
StepParts measure_parts(const AttentionModel<T>& model) {
  const AttentionData<T>& data = model.parts().data;
  Pass<T> pass(data, fits_lanes(data));
  const bool without_gradient = pass.transposed() && pays_without_gradient(data);
  const std::size_t d = data.batch.dim, stride = without_gradient ? data.stride : d;
  std::vector<T> w = uniform<T>(d * stride, -1, 1, 5), g(without_gradient ? 0 : d * d);
  const Team alone;
  StepParts out;
  pass.project(alone, w.data(), stride, pass.projected());
  out.attention = seconds_of([&] {
    pass.attend(alone, true);
    benchmark::ClobberMemory();
  });
  const T step = T(1e-6);
  out.products = seconds_of([&] {
    pass.project(alone, w.data(), stride, pass.projected());
    if (without_gradient)
      pass.add_outer_product(alone, step, pass.rows(), data.queries.data(), w.data(), stride);
    else
      pass.outer_product(alone, pass.rows(), g.data());
    benchmark::ClobberMemory();
  });
  out.update = without_gradient ? 0.0 : seconds_of([&] {
    data.kernels.axpy(d * d, step, g.data(), w.data());
    benchmark::ClobberMemory();
  });
  return out;
}

}  // namespace softstep::bench
