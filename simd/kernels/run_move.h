#pragma once

// A step of runs side by side, each along its own gradient: sum += a_r x and projected += a_r u, element k
// with the step a_r of lane r = k mod w.
//
// Shapes: RunMoveArgs (simd/dispatch.h). Error: that of axpy, u |y'| and without fused multiply-add u |a x|
// beside it (tests/simd/test_runs.cpp). Arrays must not overlap. Traffic: reads 4, writes 2 elements.

#include "simd/dispatch.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
void run_move(const RunMoveArgs<T>& in) {
  using V = Vec<T>;
  const V a = V::load(in.step);
  for (std::size_t k = 0; k < in.size; k += V::width) {
    fma(a, V::load(in.x + k), V::load(in.sum + k)).store(in.sum + k);
    fma(a, V::load(in.u + k), V::load(in.projected + k)).store(in.projected + k);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
