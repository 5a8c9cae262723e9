#include "limits/limits.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <tuple>

#include "limits/kernels.h"
#include "simd/families.def"
#include "softstep/threads.h"
#include "support.h"

namespace softstep::bench {

// The rows of isas.def that are compiled for this processor, like in simd/dispatch.cpp.
#define SOFTSTEP_ABSENT(name)
#define SOFTSTEP_ISA(name, family, arch, condition, flags) SOFTSTEP_FAMILY_##family(name)

namespace limits {
#define SOFTSTEP_COMPILED(name)  \
  namespace name {               \
  extern const IsaLimits limits; \
  }
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED

const IsaLimits& isa_limits(const char* isa) {
#define SOFTSTEP_COMPILED(name) \
  if (std::strcmp(isa, #name) == 0) return name::limits;
#include "simd/isas.def"
#undef SOFTSTEP_COMPILED
  std::abort();
}
}  // namespace limits

namespace {

using Clock = std::chrono::steady_clock;

// Calls body(thread) on every thread at once, after prepare(thread) on each; the time until the last is done.
template <class Prepare, class Body>
double seconds_together(int threads, Prepare prepare, Body body) {
  Clock::time_point begin, end;
#pragma omp parallel num_threads(threads)
  {
    prepare(omp_get_thread_num());
#pragma omp barrier
#pragma omp master
    begin = Clock::now();
    body(omp_get_thread_num());
#pragma omp barrier
#pragma omp master
    end = Clock::now();
  }
  return std::chrono::duration<double>(end - begin).count();
}

// What the kernel says first: the C library multiplies the third cache by the sockets or cores of some
// virtual machines.
std::size_t cache_size(int sysconf_name, int level, std::size_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    int found = 0;
    std::string type;
    std::size_t kilobytes = 0;
    std::ifstream(folder + "level") >> found;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> kilobytes;
    if (found == level && type != "Instruction" && kilobytes > 0) return kilobytes << 10;
  }
  const long size = sysconf(sysconf_name);
  return size > 0 ? static_cast<std::size_t>(size) : otherwise;
}

// Half of each cache, so that nothing else that lives there matters; of the third, which other machines of
// the host may share, no more than a quarter; memory well beyond it.
std::size_t bytes_per_thread(Level level, int threads) {
  const auto n = static_cast<std::size_t>(threads);
  const std::size_t l2 = size_of(Level::l2), l3 = size_of(Level::l3);
  switch (level) {
    case Level::l1:
      return size_of(Level::l1) / 2 / 1024 * 1024;
    case Level::l2:
      return l2 / 2 / 1024 * 1024;
    case Level::l3:
      return std::clamp(l3 / 4 / n, std::min(2 * l2, l3 / 2 / n), l3 / 2 / n) / 1024 * 1024;
    case Level::dram:
      return std::clamp<std::size_t>(8 * l3, 256u << 20, 512u << 20) / n / 1024 * 1024;
  }
  return 0;
}

// The operating system leaves new threads together on one core for a while.
void spread_threads(int threads) {
  static int spread = 1;
  if (threads <= spread) return;
  spread = threads;
  const auto until = Clock::now() + std::chrono::milliseconds(300);
#pragma omp parallel num_threads(threads)
  while (Clock::now() < until) benchmark::ClobberMemory();
}

constexpr int n_tries = 9;  // in a row without a better one: the best is the limit

template <class Measure>
double remembered(const std::tuple<std::string, std::size_t, int>& key, Measure measure) {
  static std::map<std::tuple<std::string, std::size_t, int>, double> known;
  const auto [entry, is_new] = known.try_emplace(key, 0.0);
  double& best = entry->second;
  if (is_new) spread_threads(std::get<int>(key));
  for (int k = 0; is_new && k < n_tries; ++k)
    if (const double now = measure(); now > best) {
      if (now > 1.02 * best) k = -1;
      best = now;
    }
  return best;
}

}  // namespace

int all_threads() { return available_threads(); }

template <class T>
double measure_peak_flops(const simd::Isa& isa, int threads) {
  const limits::IsaLimits& code = limits::isa_limits(isa.name);
  constexpr std::size_t n = 1'000'000;
  const auto run = [&](int) {
    if constexpr (sizeof(T) == 4)
      benchmark::DoNotOptimize(code.f32_chains(n, 0.999f, 0.001f));
    else
      benchmark::DoNotOptimize(code.f64_chains(n, 0.999, 0.001));
  };
  const std::size_t width = sizeof(T) == 4 ? code.f32_width : code.f64_width;
  const double seconds = seconds_together(
      threads, [](int) {}, run);
  return 2.0 * static_cast<double>(n * limits::n_chains * width) * threads / seconds;
}

double measure_read_bandwidth(Level level, int threads) {
  const limits::IsaLimits& code = limits::isa_limits(simd::best_isa().name);
  const std::size_t bytes = bytes_per_thread(level, threads);
  const std::size_t repeats =
      std::max<std::size_t>(1, (std::size_t{1} << 28) / (level == Level::l3 ? 2 : 1) / bytes);
  // Each thread fills its own pages, so that they lie near it. Kept: memory from the system is slow to get.
  static std::map<std::pair<Level, int>, std::vector<std::unique_ptr<char[]>>> kept;
  auto& memory = kept[{level, threads}];
  memory.resize(static_cast<std::size_t>(threads));
  const auto fill = [&](int thread) {
    auto& mine = memory[static_cast<std::size_t>(thread)];
    const bool is_new = !mine;
    if (is_new) mine.reset(new char[bytes + 64]);
    // Brings it into its cache too.
    if (is_new || level != Level::dram) std::memset(mine.get(), thread + 1, bytes + 64);
  };
  const auto run = [&](int thread) {
    char* begin = memory[static_cast<std::size_t>(thread)].get();
    begin += (64 - reinterpret_cast<std::size_t>(begin) % 64) % 64;
    benchmark::DoNotOptimize(code.read(begin, bytes, repeats));
  };
  const double seconds = seconds_together(threads, fill, run);
  return static_cast<double>(bytes * repeats) * threads / seconds;
}

template <class T>
double peak_flops(const simd::Isa& isa, int threads) {
  return remembered({isa.name, sizeof(T), threads}, [&] { return measure_peak_flops<T>(isa, threads); });
}

const char* name(Level level) {
  constexpr const char* names[] = {"l1", "l2", "l3", "dram"};
  return names[static_cast<int>(level)];
}

std::size_t size_of(Level level) {
  static const std::size_t sizes[] = {cache_size(_SC_LEVEL1_DCACHE_SIZE, 1, 32u << 10),
                                      cache_size(_SC_LEVEL2_CACHE_SIZE, 2, 1u << 20),
                                      cache_size(_SC_LEVEL3_CACHE_SIZE, 3, 32u << 20)};
  return level == Level::dram ? static_cast<std::size_t>(-1) : sizes[static_cast<int>(level)];
}

Level level_of(double bytes, int threads) {
  const double each = bytes / threads;
  if (each <= static_cast<double>(size_of(Level::l1))) return Level::l1;
  if (each <= static_cast<double>(size_of(Level::l2))) return Level::l2;
  return bytes <= static_cast<double>(size_of(Level::l3)) ? Level::l3 : Level::dram;
}

double read_bandwidth(Level level, int threads) {
  return remembered({name(level), 0, threads}, [&] { return measure_read_bandwidth(level, threads); });
}

std::vector<std::pair<std::string, std::string>> limits_as_text() {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const std::string& key, double per_second, const char* unit) {
    char text[40];
    std::snprintf(text, sizeof text, "%.1f %s", per_second / 1e9, unit);
    out.emplace_back(key, text);
  };
  for (const int threads : thread_counts()) {
    const std::string suffix = "_threads_" + std::to_string(threads);
    for (const simd::Isa* isa : runnable_isas()) {
      add(std::string("limit_fma_") + isa->name + "_f32" + suffix, peak_flops<float>(*isa, threads),
          "GFLOP/s");
      add(std::string("limit_fma_") + isa->name + "_f64" + suffix, peak_flops<double>(*isa, threads),
          "GFLOP/s");
    }
    for (const Level level : levels)
      add(std::string("limit_read_") + name(level) + suffix, read_bandwidth(level, threads), "GB/s");
  }
  return out;
}

template double peak_flops<float>(const simd::Isa&, int);
template double peak_flops<double>(const simd::Isa&, int);
template double measure_peak_flops<float>(const simd::Isa&, int);
template double measure_peak_flops<double>(const simd::Isa&, int);

}  // namespace softstep::bench
