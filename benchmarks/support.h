#pragma once

// What every benchmark shares: contenders and their registration, data, verification, counters.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "simd/dispatch.h"

namespace softstep::bench {

/// The rows of isas.def that can run here, slowest first.
std::vector<const simd::Isa*> runnable_isas();
/// 1, and all threads where there are more.
std::vector<int> thread_counts();

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

/// Registers run(state); its clock is the wall's, which is the one that counts with several threads.
template <class Run>
auto enlist(const std::string& name, Run run) {
  return benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime();
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
/// The same for a check that takes long: `worst_over_bound` is asked at the first call for `what` and its
/// answer holds for the repetitions, which compute the same from the same.
template <class Check>
bool verified_once(benchmark::State& state, const std::string& what, Check worst_over_bound);
/// Whether any benchmark was wrong.
bool any_wrong();

/// The larger of two errors; NaN is the largest.
inline double worse(double a, double b) { return a <= b ? b : (std::isnan(b) ? b : a); }

/// The distance of the elements that are verified, about 500 of `size` in rows of `row`: it has no divisor
/// with `row` in common, so that they are in all columns.
inline std::size_t sample_step(std::size_t size, std::size_t row) {
  std::size_t step = size / 500 + 1;
  while (std::gcd(step, row) != 1) ++step;
  return step;
}

/// What a sum of k products may be off by in any order, in units of u and of the sum of their sizes: k, or
/// 6 sqrt(k) unless its roundings conspire (benchmarks/peers/harness/agreement.py).
inline double roundings_of_sum(double k) { return std::fmin(k, 6.0 * std::sqrt(k)); }

/// Counters of one iteration: floating-point operations with the fraction of `peak` (per second), bytes with
/// the fraction of `bandwidth`; 0 is left out.
struct Work {
  double flops = 0, peak = 0, bytes = 0, bandwidth = 0;
};
void count(benchmark::State& state, const Work& work);

/// What verified_once knows: null until it was asked.
double* known_error(const std::string& what);
void remember_error(const std::string& what, double error);

template <class Check>
bool verified_once(benchmark::State& state, const std::string& what, Check worst_over_bound) {
  if (known_error(what) == nullptr) remember_error(what, worst_over_bound());
  return verified(state, *known_error(what), 1.0);
}

}  // namespace softstep::bench
