// Which instruction sets run is asked of the operating system as well, which reports them by its own means,
// and compared with what the library finds by CPUID and XGETBV. A row of isas.def that is not known here
// fails.

#include <catch2/catch_test_macros.hpp>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "simd/dispatch.h"

namespace {

// The words Linux uses in /proc/cpuinfo: "flags" on x86, "Features" on Arm. It leaves out what it does not
// save.
const std::map<std::string, std::vector<std::string>> needed_flags = {
    {"scalar", {}},
    {"sse2", {"sse2"}},
    {"avx2", {"avx2", "fma", "f16c"}},
    {"avx512", {"avx512f", "avx512cd", "avx512dq", "avx512bw", "avx512vl", "avx2", "fma"}},
    {"neon64", {"asimd"}},
};

std::set<std::string> cpuinfo_flags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    std::set<std::string> flags;
    for (std::string word; words >> word;) flags.insert(word);
    return flags;
  }
  return {};
}

}  // namespace

TEST_CASE("the library and the operating system agree on the instruction sets", "[structure]") {
  const std::set<std::string> flags = cpuinfo_flags();
  std::size_t n = 0;
  const softstep::simd::Isa* table = softstep::simd::isa_table(n);
  REQUIRE(n > 0);
  for (std::size_t i = 0; i < n; ++i) {
    const softstep::simd::Isa& isa = table[i];
    CAPTURE(isa.name);
    const auto row = needed_flags.find(isa.name);
    REQUIRE(row != needed_flags.end());
    CHECK((isa.f32 != nullptr) == isa.compiled);
    CHECK((isa.f64 != nullptr) == isa.compiled);
    if (flags.empty() || !isa.compiled) {
      CHECK((isa.compiled || !isa.runnable));
      continue;
    }
    bool all = true;
    for (const std::string& flag : row->second) all = all && flags.count(flag) != 0;
    CHECK(isa.runnable == all);
  }
}
