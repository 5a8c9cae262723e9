#pragma once

// What every benchmark shares: registration per instruction set and number type, data, verification,
// counters.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "simd/dispatch.h"

namespace softstep::bench {

/// The rows of isas.def that can run here, slowest first.
std::vector<const simd::Isa*> runnable_isas();

template <class T>
constexpr const char* type_name = sizeof(T) == 4 ? "f32" : "f64";

/// Calls enlist.operator()<T>(isa, "kernel/isa/type") for every runnable instruction set and both types.
template <class Enlist>
void for_each_kernel_variant(const std::string& kernel, Enlist enlist) {
  for (const simd::Isa* isa : runnable_isas()) {
    enlist.template operator()<float>(*isa, kernel + "/" + isa->name + "/f32");
    enlist.template operator()<double>(*isa, kernel + "/" + isa->name + "/f64");
  }
}

/// Uniform in [low, high], the same at every call.
template <class T>
std::vector<T> uniform(std::size_t size, double low = -1.0, double high = 1.0, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> distribution(low, high);
  std::vector<T> out(size);
  for (T& x : out) x = static_cast<T>(distribution(random));
  return out;
}

template <class T>
constexpr double unit_roundoff = std::numeric_limits<T>::epsilon() / 2;

/// Ends the benchmark without a figure, and the program with a failure, unless error <= bound (NaN is wrong).
bool verified(benchmark::State& state, double error, double bound);
/// Whether any benchmark was wrong.
bool any_wrong();

/// Counters per second of one thread: floating-point operations and bytes of one iteration.
void count(benchmark::State& state, double flops, double bytes);

}  // namespace softstep::bench
