// Sign descent of runs side by side: three numbers by entry, five where what W is rounded off is kept.

#include "run_rule_step.h"

namespace softstep::bench {
namespace {

using Number = long double;

reference::RunEntry<Number> exact_entry(Number g, Number, Number, Number, Number) {
  return reference::run_sign<Number>(g);
}

const bool registered = [] {
  for_each_kernel_variant("run_sign", []<class T>(const simd::Isa& isa, const std::string& label) {
    enlist(label,
           [&isa](benchmark::State& s) {
             measure_run_rule<T>(s, isa, &simd::Kernels<T>::run_sign, exact_entry, 0.0);
           })
        ->ArgName("dim")
        ->Arg(10)
        ->Arg(60);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
