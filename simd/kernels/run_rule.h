#pragma once

// What the steps of run_sign, run_adam and run_momentum share: every entry of every run's W goes on by its
// rule, W' = W - step * direction, all in double whatever T, and in float32 with what W has been rounded off
// (docs/mathematics.md, section 7).
//
// Shapes: RunRuleArgs (simd/runs_args.h). Every run is in lanes of its own, and its sums run over the entries
// in order, so that its bits do not depend on its neighbours. Outputs must not overlap inputs.

#include <cstddef>

#include "simd/dispatch.h"
#include "simd/kernels/run_factors.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

template <class T>
SOFTSTEP_INLINE void store_rounded(Vec<double> x, T* p) {
  double lanes[Vec<double>::width];
  x.store(lanes);
  for (std::size_t k = 0; k < Vec<double>::width; ++k) p[k] = static_cast<T>(lanes[k]);
}
SOFTSTEP_INLINE void store_rounded(Vec<double> x, double* p) { x.store(p); }

// By run, for the lanes from r on. Rule(args, r) holds what it needs of them; rule(at, g) is the direction of
// the entry at `at`, of gradient g, and takes down what is remembered; rule.finish(r) is called at the end.
template <class Rule, bool keeps_remainder, class T>
SOFTSTEP_INLINE void run_rule_lanes(const RunRuleArgs<T>& in, std::size_t r) {
  using W = Vec<double>;
  const W step = W::load(in.step + r), unit = W::load(in.unit + r), again = W::load(in.unit_again + r);
  Rule rule(in, r);
  W squared = W::all(0);
  std::size_t at = r;
  for (std::size_t k = 0; k < in.size; ++k, at += Vec<T>::width) {
    const W direction = rule(at, load_double(in.gradient + at) * unit * again);
    squared = fma(direction, direction, squared);
    W old = load_double(in.weights + at);
    if constexpr (keeps_remainder) old = old + load_double(in.remainder + at);
    const W next = old - step * direction;
    store_rounded(next, in.next_weights + at);
    if constexpr (keeps_remainder)
      store_rounded(next - load_double(in.next_weights + at), in.next_remainder + at);
  }
  squared.store(in.squared + r);
  rule.finish(r);
}

template <class Rule, class T>
SOFTSTEP_INLINE void run_rule(const RunRuleArgs<T>& args) {
  // A copy, which no store can change.
  const RunRuleArgs<T> in = args;
  for (std::size_t r = 0; r < Vec<T>::width; r += Vec<double>::width) {
    if (in.remainder != nullptr)
      run_rule_lanes<Rule, true>(in, r);
    else
      run_rule_lanes<Rule, false>(in, r);
  }
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
