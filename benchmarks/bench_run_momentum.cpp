// Dual acceleration of runs side by side.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number v, Number, Number keep, Number) {
  return reference::run_momentum<Number>(g, v, keep);
}

const bool registered = enlist_run_rule(
    "run_momentum", []<class T>() { return &simd::Kernels<T>::run_momentum; }, exact_entry, 2.0);

}  // namespace
}  // namespace softstep::bench
