// Dual acceleration of runs side by side.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number v, Number, Number keep, Number) {
  return reference::run_momentum<Number>(g, v, keep);
}

const bool registered = [] {
  for_each_kernel_variant("run_momentum", []<class T>(const simd::Isa& isa, const std::string& label) {
    enlist(label,
           [&isa](benchmark::State& s) {
             measure_run_rule<T>(s, isa, &simd::Kernels<T>::run_momentum, exact_entry, 2.0);
           })
        ->ArgName("dim")
        ->Arg(10)
        ->Arg(60);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
