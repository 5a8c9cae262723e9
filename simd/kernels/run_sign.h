#pragma once

// Sign descent for runs side by side: the direction is sign(G), sign(0) = 0.
//
// Shapes and order of sums: run_rule.h. Error: that of one multiplication and one subtraction in double,
// 2^-53 (|W'| + step), and of rounding to T (tests/simd/test_run_rules.cpp). NaN has the direction 0.

#include "simd/kernels/run_rule.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct SignOfRuns {
  using W = Vec<double>;
  SOFTSTEP_INLINE SignOfRuns(const RunRuleArgs<T>&, std::size_t) {}
  SOFTSTEP_INLINE W operator()(std::size_t, W g) const {
    const W zero = W::all(0), one = W::all(1);
    return select(less(zero, g), one, select(less(g, zero), zero - one, zero));
  }
  SOFTSTEP_INLINE void finish(std::size_t) const {}
};

template <class T>
void run_sign(const RunRuleArgs<T>& args) {
  run_rule<SignOfRuns<T>>(args);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
