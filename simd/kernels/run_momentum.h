#pragma once

// Dual acceleration for runs side by side: with q = G / (L - L*), the gradient times its two units, v' =
// keep_mean (v + q), and the direction is v' + q. Where G is 0, q is, whatever the units.
//
// Shapes and order of sums: run_rule.h. Error, u = 2^-53: q is rounded twice, v' twice more, the direction
// once: 5 u (|v| + 2 |q|) (tests/simd/test_run_rules.cpp). Infinity and NaN as in the plain formula.

#include "simd/kernels/run_rule.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
struct MomentumOfRuns {
  using W = Vec<double>;
  SOFTSTEP_INLINE MomentumOfRuns(const RunRuleArgs<T>& args, std::size_t r)
      : in(args), keep(W::load(args.keep_mean + r)) {}
  SOFTSTEP_INLINE W operator()(std::size_t at, W g) const {
    const W zero = W::all(0), q = select(equal(load_double(in.gradient + at), zero), zero, g);
    const W v = keep * (W::load(in.mean + at) + q);
    v.store(in.next_mean + at);
    return v + q;
  }
  SOFTSTEP_INLINE void finish(std::size_t) const {}
  const RunRuleArgs<T>& in;
  const W keep;
};

template <class T>
void run_momentum(const RunRuleArgs<T>& args) {
  run_rule<MomentumOfRuns<T>>(args);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
