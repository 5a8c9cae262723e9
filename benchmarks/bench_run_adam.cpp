// Adam of runs side by side: a root and a quotient for each entry of each run.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number m, Number r, Number keep, Number take) {
  return reference::run_adam<Number>(g, m * keep, r * keep, take, take, 1, 1, 0);
}

const bool registered = [] {
  for_each_kernel_variant("run_adam", []<class T>(const simd::Isa& isa, const std::string& label) {
    enlist(label,
           [&isa](benchmark::State& s) {
             measure_run_rule<T>(s, isa, &simd::Kernels<T>::run_adam, exact_entry, 4.0);
           })
        ->ArgName("dim")
        ->Arg(10)
        ->Arg(60);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
