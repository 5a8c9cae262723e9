#pragma once

// The limits of this machine, measured once at the first question, in the process that reports against them.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "simd/dispatch.h"

namespace softstep::bench {

/// Threads that "all" means.
int all_threads();

/// Multiply-adds per second, times two, of `threads` threads (1 or all_threads()).
template <class T>
double peak_flops(const simd::Isa& isa, int threads = 1);

/// Levels of the memory hierarchy; `bytes` is its size as the operating system states it (DRAM: no end).
enum class Level { l1, l2, l3, dram };
inline constexpr Level levels[] = {Level::l1, Level::l2, Level::l3, Level::dram};
const char* name(Level level);
std::size_t size_of(Level level);

/// The smallest level that holds a working set spread evenly over the threads (the third is shared by all).
Level level_of(double bytes, int threads = 1);
/// Bytes read per second by all threads together, each from memory of its own, with the widest vectors.
double read_bandwidth(Level level, int threads = 1);

/// One measurement, not remembered: what the benchmarks of the limits themselves repeat.
template <class T>
double measure_peak_flops(const simd::Isa& isa, int threads);
double measure_read_bandwidth(Level level, int threads);

/// Everything above as (key, value) for the context of the output; measures it all.
std::vector<std::pair<std::string, std::string>> limits_as_text();

}  // namespace softstep::bench
