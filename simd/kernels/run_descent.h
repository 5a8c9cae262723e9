#pragma once

// A step along the gradient for runs side by side that keep W itself: the direction is G.
//
// Shapes and order of sums: run_rule.h. The new numbers may be stored over the old ones, entry by entry.
// Error: that of two multiplications and two subtractions in double, 2^-53 (|W'| + 4 step |G|), and of
// rounding to T (tests/simd/test_run_rules.cpp). Infinity and NaN as in the plain formula.

#include "simd/kernels/run_rule.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct DescentOfRuns {
  using W = Vec<double>;
  SOFTSTEP_INLINE DescentOfRuns(const RunRuleArgs<T>&, std::size_t) {}
  SOFTSTEP_INLINE W operator()(std::size_t, W g) const { return g; }
  SOFTSTEP_INLINE void finish(std::size_t) const {}
};

template <class T>
void run_descent(const RunRuleArgs<T>& args) {
  run_rule<DescentOfRuns<T>>(args);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
