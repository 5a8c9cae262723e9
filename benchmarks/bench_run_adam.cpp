// Adam of runs side by side: a root and a quotient for each entry of each run.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number m, Number r, Number keep, Number take) {
  return reference::run_adam<Number>(g, m * keep, r * keep, take, take, 1, 1, 0);
}

const bool registered = enlist_run_rule(
    "run_adam", []<class T>() { return &simd::Kernels<T>::run_adam; }, exact_entry, 4.0);

}  // namespace
}  // namespace softstep::bench
