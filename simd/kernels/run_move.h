#pragma once

// A step of runs side by side, each along its own gradient: sum += a_r x and projected += a_r u, element k
// with the step a_r of lane r = k mod w.
//
// Shapes: RunMoveArgs (simd/dispatch.h). Error: that of axpy, u |y'| and without fused multiply-add u |a x|
// beside it (tests/simd/test_runs.cpp). Arrays must not overlap. Traffic: reads 4, writes 2 elements.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// `count` vectors from element k on.
template <std::size_t count, class T>
SOFTSTEP_INLINE void run_move_block(const RunMoveArgs<T>& in, Vec<T> a, std::size_t k) {
  using V = Vec<T>;
  SOFTSTEP_UNROLL
  for (std::size_t at = k; at < k + count * V::width; at += V::width) {
    fma(a, V::load(in.x + at), V::load(in.sum + at)).store(in.sum + at);
    fma(a, V::load(in.u + at), V::load(in.projected + at)).store(in.projected + at);
  }
}

template <class T>
void run_move(const RunMoveArgs<T>& args) {
  // A copy, which no store can change.
  const RunMoveArgs<T> in = args;
  using V = Vec<T>;
  constexpr std::size_t w = V::width;
  const V a = V::load(in.step);
  std::size_t k = 0;
  for (; k + 4 * w <= in.size; k += 4 * w) run_move_block<4>(in, a, k);
  for (; k < in.size; k += w) run_move_block<1>(in, a, k);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
