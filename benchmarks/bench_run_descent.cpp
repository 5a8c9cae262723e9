// A step along the gradient of runs side by side that keep W itself: three numbers by entry, five where what
// W is rounded off is kept.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number, Number, Number, Number) {
  return reference::run_descent<Number>(g);
}

const bool registered = enlist_run_rule(
    "run_descent", []<class T>() { return &simd::Kernels<T>::run_descent; }, exact_entry, 0.0);

}  // namespace
}  // namespace softstep::bench
