#pragma once

// One call: what it reads, checked.

#include "core/heads/geometry.h"
#include "core/isa/active_isa.h"
#include "core/threads/start.h"
#include "simd/dispatch.h"

namespace softstep::heads {

template <class T>
struct Call {
  Call(const HeadsInputs<T>& inputs, const HeadsOptions& options);

  const Geometry geometry;
  const simd::Kernels<T>& kernels;
  const InputRows<T> queries, keys, values;
  const int n_threads;  ///< worth starting; after the arrays, which bound what is counted
  const HeadsBias<T> bias;
  const bool bias_hides;  ///< some key: -infinity is among the bias

  /// bias_ij for all j of a query; null without a bias.
  const T* bias_row(std::size_t b, std::size_t h, std::size_t i) const {
    return bias.numbers.empty() ? nullptr : bias.numbers.data() + bias_place(b, h, i);
  }
  std::size_t bias_place(std::size_t b, std::size_t h, std::size_t i) const {
    const std::size_t heads = bias.per_head ? geometry.n_heads : 1;
    return (((bias.per_batch ? b : 0) * heads + (bias.per_head ? h : 0)) * geometry.most_queries() + i) *
           geometry.most_keys();
  }
  /// Throws InvalidArgument if an output lies on an input.
  void require_apart_from_inputs(const Extent& output) const;
};

}  // namespace softstep::heads
