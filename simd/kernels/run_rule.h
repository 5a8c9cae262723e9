#pragma once

// What the steps of run_descent, run_sign, run_adam and run_momentum share: every entry of every run's W goes
// on by its rule, W' = W - step * direction, all in double whatever T, and in float32 with what W has been
// rounded off (docs/mathematics.md, section 7).
//
// Shapes: RunRuleArgs (simd/runs_args.h). Every run is in lanes of its own, and its sums run over the entries
// in order, so that its bits do not depend on its neighbours. Outputs must not overlap inputs.

#include <cstddef>

#include "simd/dispatch.h"
#include "simd/kernels/run_factors.h"
#include "simd/vec.h"

namespace softstep::simd::SOFTSTEP_ISA_NAME {

// Stores x as T, and returns what that is.
SOFTSTEP_INLINE Vec<double> store_rounded(Vec<double> x, float* p) { return store_narrowed(x, p); }
SOFTSTEP_INLINE Vec<double> store_rounded(Vec<double> x, double* p) {
  x.store(p);
  return x;
}

// By run, for the lanes from r on. Rule(args, r) holds what it needs of them; rule(at, g) is the direction of
// the entry at `at`, of gradient g, and takes down what is remembered; rule.finish(r) is called at the end.
template <class Rule, bool keeps_remainder, class T>
struct RunRuleLanes {
  using W = Vec<double>;
  SOFTSTEP_INLINE RunRuleLanes(const RunRuleArgs<T>& in, std::size_t r)
      : rule(in, r),
        step(W::load(in.step + r)),
        unit(W::load(in.unit + r)),
        again(W::load(in.unit_again + r)) {}
  SOFTSTEP_INLINE void go(const RunRuleArgs<T>& in, std::size_t at) {
    const W direction = rule(at, load_double(in.gradient + at) * unit * again);
    squared = fma(direction, direction, squared);
    W old = load_double(in.weights + at);
    if constexpr (keeps_remainder) old = old + load_double(in.remainder + at);
    const W next = old - step * direction, rounded = store_rounded(next, in.next_weights + at);
    if constexpr (keeps_remainder) store_rounded(next - rounded, in.next_remainder + at);
  }
  SOFTSTEP_INLINE void finish(const RunRuleArgs<T>& in, std::size_t r) const {
    squared.store(in.squared + r);
    rule.finish(r);
  }
  Rule rule;
  W step, unit, again, squared = W::all(0);
};

// All lanes of an entry one after the other, so that a cache line is visited once.
template <class Rule, bool keeps_remainder, class T>
SOFTSTEP_INLINE void run_rule_entries(const RunRuleArgs<T>& in) {
  constexpr std::size_t half = Vec<double>::width, width = Vec<T>::width;
  static_assert(width == half || width == 2 * half);
  RunRuleLanes<Rule, keeps_remainder, T> first(in, 0), last(in, width - half);
  for (std::size_t at = 0; at < in.size * width; at += width) {
    first.go(in, at);
    if constexpr (width != half) last.go(in, at + half);
  }
  first.finish(in, 0);
  if constexpr (width != half) last.finish(in, half);
}

template <class Rule, class T>
SOFTSTEP_INLINE void run_rule(const RunRuleArgs<T>& args) {
  // A copy, which no store can change.
  const RunRuleArgs<T> in = args;
  if (in.remainder != nullptr)
    run_rule_entries<Rule, true>(in);
  else
    run_rule_entries<Rule, false>(in);
}

}  // namespace softstep::simd::SOFTSTEP_ISA_NAME
