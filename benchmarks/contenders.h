#pragma once

// Who computes the same thing: the kernel on each instruction set (`scalar` with vectorisation off), and the
// baselines compiled for this machine (baselines/).

#include <utility>

#include "baselines/baselines.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {

template <class T>
struct Contender {
  const simd::Isa* isa;         ///< null: a baseline
  const Baseline<T>* baseline;  ///< null: the kernels

  const char* name() const { return isa != nullptr ? isa->name : baseline->name; }
  /// Multiply-adds per second, times two, of the instruction set it is compiled for.
  double peak() const { return peak_flops<T>(isa != nullptr ? *isa : simd::best_isa()); }
};

/// Calls enlist.operator()<T>(contender, "kernel/contender/type") for all, in both types.
template <class Enlist>
void for_each_contender(const std::string& kernel, Enlist enlist) {
  const auto each = [&]<class T>(const std::vector<const Baseline<T>*>& all) {
    const auto add = [&](const Contender<T>& c) {
      enlist.template operator()<T>(c, kernel + "/" + c.name() + "/" + type_name<T>);
    };
    for (const simd::Isa* isa : runnable_isas()) add({isa, nullptr});
    for (const Baseline<T>* baseline : all) add({nullptr, baseline});
  };
  each(baselines<float>());
  each(baselines<double>());
}

}  // namespace softstep::bench
