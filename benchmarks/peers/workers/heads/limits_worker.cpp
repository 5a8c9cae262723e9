// The limits of the machine behind the protocol of worker.py: what the benchmark program measures
// (benchmarks/limits), again at every request, so that fractions are of the same minute.
//
//     limits   -> {"flops": ..., "bytes": ...}   multiply-adds a second, times two, and bytes read from memory

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "limits/limits.h"

int main(int argc, char** argv) {
  using namespace softstep::bench;
  if (argc != 3) return 2;
  const bool is_double = std::string(argv[1]) == "f64";
  const int threads = std::atoi(argv[2]);
  const softstep::simd::Isa& isa = softstep::simd::best_isa();
  for (std::string line; std::getline(std::cin, line);) {
    const auto best_of = [](auto measure) {
      double best = 0.0;
      for (int k = 0; k < 5; ++k)
        if (const double now = measure(); now > best) best = now;
      return best;
    };
    if (line == "version") {
      std::printf("{\"version\": \"%s\"}\n", isa.name);
    } else {
      const double flops = best_of([&] {
        return is_double ? measure_peak_flops<double>(isa, threads) : measure_peak_flops<float>(isa, threads);
      });
      const double bytes =
          line == "limits" ? best_of([&] { return measure_read_bandwidth(Level::dram, threads); }) : 0.0;
      std::printf("{\"flops\": %.17g, \"bytes\": %.17g}\n", flops, bytes);
    }
    std::fflush(stdout);
  }
  return 0;
}
